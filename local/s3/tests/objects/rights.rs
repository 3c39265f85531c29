//! What a role and a session may do.

use serde_json::{Value, json};

use crate::cloud::{BUCKET, Cloud, code};

fn allow(action: &str, resource: &str) -> Value {
    json!({ "Effect": "Allow", "Action": action, "Resource": format!("arn:aws:s3:::{resource}") })
}

#[tokio::test]
async fn a_role_does_what_its_policy_allows() {
    let kms = json!({ "Effect": "Allow", "Action": "kms:GenerateDataKey",
                      "Resource": "arn:aws:kms:eu-central-1:111122223333:key/own" });
    let standard = json!({ "Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::data/standard/*",
                           "Condition": { "StringEquals": { "s3:x-amz-storage-class": "STANDARD" } } });
    let roles = vec![
        ("reader", allow("s3:GetObject", "data/in/*")),
        ("lister", json!([allow("s3:GetObject", "data/in/*"), allow("s3:ListBucket", "data")])),
        ("writer", json!([allow("s3:PutObject", "data/out/*"), kms, standard])),
        (
            "cleaner",
            json!([allow("s3:AbortMultipartUpload", "data/*"), allow("s3:DeleteObject", "data/out/*")]),
        ),
    ];
    let cloud = Cloud::start_with(roles, None).await;
    cloud.put("in/a", "a").await;
    cloud.put("out/a", "a").await;
    let client = |role: &str| cloud.as_caller(cloud.session(role, None, None));
    let get =
        async |role: &str, key: &str| code(client(role).get_object().bucket(BUCKET).key(key).send().await);
    assert_eq!(get("reader", "in/a").await, "OK");
    assert_eq!(get("reader", "out/a").await, "AccessDenied");
    // Whoever may not list learns nothing of what is not there.
    assert_eq!(get("reader", "in/b").await, "AccessDenied");
    assert_eq!(get("lister", "in/b").await, "NoSuchKey");
    assert_eq!(get("nobody", "in/a").await, "AccessDenied");
    let put =
        async |role: &str, key: &str| code(client(role).put_object().bucket(BUCKET).key(key).send().await);
    assert_eq!(put("writer", "out/b").await, "OK");
    assert_eq!(put("writer", "in/b").await, "AccessDenied");
    assert_eq!(put("writer", "standard/b").await, "OK");
    let cold = client("writer").put_object().bucket(BUCKET).key("standard/b");
    let cold = cold.storage_class(aws_sdk_s3::types::StorageClass::Glacier).send().await;
    assert_eq!(code(cold), "AccessDenied");
    assert_eq!(put("reader", "in/b").await, "AccessDenied");
    for (key, answer) in [("own", "OK"), ("other", "AccessDenied")] {
        let put = client("writer").put_object().bucket(BUCKET).key("out/b").ssekms_key_id(key);
        let put = put.server_side_encryption(aws_sdk_s3::types::ServerSideEncryption::AwsKms);
        assert_eq!(code(put.send().await), answer, "{key}");
    }
    let delete =
        async |role: &str| code(client(role).delete_object().bucket(BUCKET).key("out/b").send().await);
    assert_eq!((delete("writer").await, delete("cleaner").await), ("AccessDenied".into(), "OK".into()));
    let head = client("reader").head_bucket().bucket(BUCKET).send().await.expect_err("refused");
    assert_eq!(head.raw_response().map(|response| response.status().as_u16()), Some(403));
    assert!(client("lister").head_bucket().bucket(BUCKET).send().await.is_ok());
    let create = client("writer").create_multipart_upload().bucket(BUCKET).key("out/c").send().await;
    let id = create.expect("an upload").upload_id.expect("its id");
    let abort = async |role: &str| {
        code(client(role).abort_multipart_upload().bucket(BUCKET).key("out/c").upload_id(&id).send().await)
    };
    assert_eq!((abort("writer").await, abort("cleaner").await), ("AccessDenied".into(), "OK".into()));
}

#[tokio::test]
async fn a_session_lists_just_the_prefix_that_it_was_given() {
    let cloud = Cloud::start_with(vec![("data-role", allow("s3:*", "*"))], None).await;
    for key in ["in/a", "in/b", "private/c"] {
        cloud.put(key, key).await;
    }
    let list = json!({ "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::data",
                       "Condition": { "StringEquals": { "s3:prefix": "in/" } } });
    let statements = json!([list, allow("s3:GetObject", "data/in/*")]);
    let client = cloud.as_caller(cloud.session("data-role", Some(&statements), None));
    let list = |prefix: Option<&str>| {
        client.list_objects_v2().bucket(BUCKET).set_prefix(prefix.map(str::to_owned)).send()
    };
    let listed = list(Some("in/")).await.expect("a page");
    assert_eq!(listed.key_count(), Some(2));
    for prefix in [None, Some(""), Some("in"), Some("in/a"), Some("private/")] {
        assert_eq!(code(list(prefix).await), "AccessDenied", "{prefix:?}");
    }
    let get = async |key: &str| code(client.get_object().bucket(BUCKET).key(key).send().await);
    assert_eq!(get("in/a").await, "OK");
    assert_eq!(get("private/c").await, "AccessDenied");
    // A GET has no prefix, and so no right to list.
    assert_eq!(get("in/c").await, "AccessDenied");
    assert_eq!(code(client.put_object().bucket(BUCKET).key("in/a").send().await), "AccessDenied");
}
