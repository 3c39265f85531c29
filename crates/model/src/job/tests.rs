//! Which documents are refused, and in which words.

use serde_json::{Value, json};

use super::*;
use crate::shown::SHOWN_LIMIT;

const PLACE: &str = "s3://mayfly-data/in.mp4";

fn limits() -> Limits {
    let any = vec!["*".to_owned()];
    let buckets = vec!["mayfly-data".to_owned()];
    Limits { buckets, subnets: any.clone(), security_groups: any, ..Limits::default() }
}

fn parse(document: &str) -> Result<JobDocument, String> {
    parse_within(&limits(), document)
}

fn parse_within(limits: &Limits, document: &str) -> Result<JobDocument, String> {
    JobDocument::parse(document, limits)
}

fn refused(document: &Value) -> String {
    parse(&document.to_string()).expect_err(&document.to_string())
}

fn job(task: Value) -> Value {
    let mut document = json!({ "task": { "command": ["true"] } });
    let Value::Object(fields) = task else { panic!("a task has fields") };
    document["task"].as_object_mut().expect("a task").extend(fields);
    document
}

fn files(inputs: &[&str], outputs: &[&str]) -> Value {
    let inputs: Vec<_> = inputs.iter().map(|file| json!({ "file": file, "from": PLACE })).collect();
    let places = (0..).map(|n| format!("s3://mayfly-data/{n}"));
    let outputs: Vec<_> =
        outputs.iter().zip(places).map(|(file, to)| json!({ "file": file, "to": to })).collect();
    job(json!({ "inputs": inputs, "outputs": outputs }))
}

fn from(from: &str) -> Value {
    job(json!({ "inputs": [{ "file": "a", "from": from }] }))
}

fn to(to: &str) -> Value {
    job(json!({ "outputs": [{ "file": "a", "to": to }] }))
}

fn with(field: &str, value: Value) -> Value {
    let mut document = job(json!({}));
    document[field] = value;
    document
}

/// A document with `text` in every place where a person writes something.
fn everywhere(text: &str) -> Vec<Value> {
    let list = json!([text]);
    let named = json!({ text: "x" });
    let mut documents = vec![
        json!(text),
        json!({ "task": text }),
        from(text),
        to(text),
        files(&[text], &[]),
        files(&[], &[text]),
        files(&[text, text], &[]),
        job(json!({ "command": text })),
        job(json!({ text: 1 })),
        job(json!({ "inputs": [{ "file": "a", "from": PLACE, text: 1 }] })),
        with(text, json!(1)),
        with("tags", named.clone()),
        with("tags", json!({ "team": format!("{text}<") })),
        with("tags", json!({ text: 1 })),
        with("user", json!(format!("{text}<"))),
        with("timeoutMinutes", json!(text)),
        with("capacity", json!(text)),
    ];
    for field in ["image", "cpu", "environment", "secrets"] {
        documents.push(with("container", json!({ field: format!("{text} ") })));
    }
    for field in ["environment", "secrets"] {
        documents.push(with("container", json!({ field: named })));
        documents.push(with("container", json!({ field: { "A": list } })));
    }
    documents.push(with("container", json!({ "secrets": { "A": text } })));
    for field in ["mode", "egress", "subnets"] {
        documents.push(with("network", json!({ "mode": "existing", field: text })));
    }
    documents.push(with("network", json!({ "mode": "existing", "subnets": list })));
    documents
}

#[test]
fn no_query_and_no_password_is_repeated_whatever_field_it_stood_in() {
    for secret in [
        "https://example.com:8443/a?sig=TOPSECRET",
        "https:/acct.blob.core.windows.net/c/out.mp4?sig=TOPSECRET%3D",
        "http//x?sig=TOPSECRET",
        "https://alice:TOPSECRET@example.com/a",
        "s3://elsewhere/a?X-Amz-Signature=TOPSECRET",
    ] {
        let documents = everywhere(secret);
        let messages: Vec<_> =
            documents.iter().filter_map(|document| parse(&document.to_string()).err()).collect();
        assert!(messages.len() + 2 >= documents.len(), "only tags may be called so");
        for message in messages {
            assert!(!message.contains("TOPSECRET"), "{message}");
        }
    }
}

#[test]
fn no_message_repeats_more_than_200_characters_of_anything() {
    for document in everywhere(&"x".repeat(2_000)) {
        if let Err(message) = parse(&document.to_string()) {
            assert!(!message.contains(&"x".repeat(SHOWN_LIMIT + 1)), "{document} is answered by {message}");
        }
    }
    let many: Vec<_> = (0..100).map(|n| format!("bucket-{n}")).collect();
    let message = parse_within(&Limits { buckets: many, ..limits() }, &from(PLACE).to_string());
    assert!(message.expect_err("another stack's bucket").len() < 500);
}

#[test]
fn a_mistyped_variable_or_secret_is_never_repeated() {
    for container in [
        json!({ "secrets": { "PASSWORD": "hunter2" } }),
        json!({ "secrets": { "PASSWORD": ["hunter2"] } }),
        json!({ "secrets": { "PASSWORD": { "value": "hunter2" } } }),
        json!({ "secrets": { "PASSWORD": 4_242_424 } }),
        json!({ "secrets": { "PASSWORD=hunter2": "" } }),
        json!({ "secrets": { "FOO=hunter2": 1 } }),
        json!({ "secrets": "hunter2" }),
        json!({ "secrets": ["PASSWORD=hunter2"] }),
        json!({ "environment": { "PASSWORD": 4_242_424 } }),
        json!({ "environment": { "PASSWORD": 4.242_424 } }),
        json!({ "environment": { "PASSWORD": "hunter2\0" } }),
        json!({ "environment": { "FOO=hunter2": "" } }),
        json!({ "environment": "hunter2" }),
        json!({ "environment": [{ "name": "PASSWORD", "value": "hunter2" }] }),
    ] {
        let message = refused(&with("container", container));
        assert!(!message.contains("hunter2") && !message.contains("242"), "{message}");
        assert!(message.starts_with("container."), "{message}");
    }
}

#[test]
fn a_number_is_refused_in_the_fields_own_terms() {
    for (text, message) in [
        (
            r#""timeoutMinutes": 1e2"#,
            "timeoutMinutes: given 100.0; allowed: a whole number in digits alone, 1 to 10080",
        ),
        (
            r#""timeoutMinutes": 99999999999"#,
            "timeoutMinutes: given 99999999999; allowed: a whole number in digits alone, 1 to 10080",
        ),
        (r#""attempts": -1"#, "attempts: given -1; allowed: a whole number in digits alone, 1 to 10"),
        (
            r#""queueMinutes": 123456789012345678901234567890"#,
            "queueMinutes: given 1.2345678901234568e+29; allowed: a whole number in digits alone, 0 to 10080",
        ),
        (
            r#""container": { "storageGiB": 4294967296 }"#,
            "container.storageGiB: given 4294967296; allowed: a whole number in digits alone, 20 to 200",
        ),
        (
            r#""network": { "mode": "private", "egressPorts": [443, 65536] }"#,
            "network.egressPorts[1]: given 65536; allowed: a whole number in digits alone, 1 to 65535",
        ),
    ] {
        assert_eq!(parse(&format!(r#"{{"task": {{"command": ["true"]}}, {text}}}"#)), Err(message.into()));
    }
}

#[test]
fn an_address_is_shown_as_it_was_given() {
    let source = "s3://BUCKET/KEY or an https URL on port 443 without a user name";
    for given in
        ["S3://mayfly-data/in.mp4", "HTTP://Example.com/A", "https:/example.com/a", "https:example.com"]
    {
        let message = format!("task.inputs[0].from: given {given}; allowed: {source}");
        assert_eq!(refused(&from(given)), message);
    }
    assert!(parse(&from("HTTPS://example.com/a?sig=x").to_string()).is_ok());
}

#[test]
fn a_key_that_is_too_long_for_s3_is_refused_by_its_length_in_bytes() {
    let longest = format!("s3://mayfly-data/{}", "ü".repeat(512));
    assert!(parse(&from(&longest).to_string()).is_ok());
    let message = "given a key of 1025 bytes; allowed: a key of at most 1024 bytes of UTF-8";
    assert_eq!(refused(&from(&format!("{longest}k"))), format!("task.inputs[0].from: {message}"));
    assert_eq!(refused(&to(&format!("{longest}k"))), format!("task.outputs[0].to: {message}"));
}

#[test]
fn a_buckets_name_has_to_be_one_that_s3_gives() {
    for name in
        ["ab", "-abc", "abc.", "a..b", "192.168.5.4", "xn--abc", "abc-s3alias", "abc--x-s3", "Abc", "a_b"]
    {
        let message = refused(&from(&format!("s3://{name}/key")));
        assert!(message.contains("a bucket's name: 3 to 63"), "{name}: {message}");
    }
    for name in ["abc", "a.b-c", "1.2.3", "mayfly-data"] {
        assert!(!refused(&from(&format!("s3://{name}/../key"))).contains("a bucket's name"), "{name}");
    }
}

#[test]
fn both_ends_are_one_file_or_both_a_folder() {
    let input = |file: &str, from: &str| job(json!({ "inputs": [{ "file": file, "from": from }] }));
    let output = |file: &str, to: &str| job(json!({ "outputs": [{ "file": file, "to": to }] }));
    for document in [
        input("in/", "s3://mayfly-data/in/"),
        output("hls/", "s3://mayfly-data/a/b/"),
        output("*.ts", "s3://mayfly-data/ts/"),
        output("hls/**/*.m4s", "s3://mayfly-data/hls/"),
    ] {
        parse(&document.to_string()).unwrap();
    }
    let object = "the key of one object, which does not end with /; file then names a folder, which does";
    let prefix = "a prefix that ends with /, since file names a folder";
    let shape = "s3://BUCKET/PREFIX/, since file names a folder";
    let whole = "a prefix without empty parts between slashes";
    for (file, place, allowed) in [
        ("hls", "s3://mayfly-data/hls/", object),
        ("hls/", "s3://mayfly-data/hls", prefix),
        ("hls/", "s3://mayfly-data/", shape),
        ("hls/", "s3://mayfly-data", shape),
        ("hls/", "https://example.com/hls/", shape),
        ("hls/", "s3://mayfly-data//", whole),
        ("hls/", "s3://mayfly-data/a//b/", whole),
        ("hls/", "s3://mayfly-data/a//", whole),
        ("hls/", "s3://mayfly-data/../", "a key without the parts . and .."),
    ] {
        let told = |field| format!("task.{field}: given {place}; allowed: {allowed}");
        assert_eq!(refused(&input(file, place)), told("inputs[0].from"));
        assert_eq!(refused(&output(file, place)), told("outputs[0].to"));
    }
    assert_eq!(
        refused(&output("*.ts", "s3://mayfly-data/a.ts")),
        format!("task.outputs[0].to: given s3://mayfly-data/a.ts; allowed: {prefix}")
    );
    for file in ["/", "a//", "../", "a/../", "./"] {
        assert!(
            refused(&output(file, "s3://mayfly-data/a/")).contains("a name inside the working directory")
        );
    }
}

#[test]
fn no_output_goes_where_another_may_go() {
    let outputs = |outputs: &[(&str, &str)]| {
        let output =
            |(file, to): &(&str, &str)| json!({ "file": file, "to": format!("s3://mayfly-data/{to}") });
        job(json!({ "outputs": outputs.iter().map(output).collect::<Vec<_>>() }))
    };
    for (given, told) in [
        (
            &[("a/", "show/"), ("b/", "show/")][..],
            "[1].to: given s3://mayfly-data/show/; allowed: a place that no other output has",
        ),
        (
            &[("a/", "show/"), ("b", "show/b")],
            "[1].to: given s3://mayfly-data/show/b; allowed: a place outside of s3://mayfly-data/show/, where \
             task.outputs[0].to puts files",
        ),
        (
            &[("a/", "show/a/"), ("b/", "show/")],
            "[0].to: given s3://mayfly-data/show/a/; allowed: a place outside of s3://mayfly-data/show/, where \
             task.outputs[1].to puts files",
        ),
    ] {
        assert_eq!(refused(&outputs(given)), format!("task.outputs{told}"));
    }
    let apart =
        [("hls/*.m3u8", "show/"), ("hls/", "show/"), ("hls/a", "a"), ("b/", "show-2/"), ("c", "show")];
    parse(&outputs(&apart).to_string()).unwrap();
    let mut listed = outputs(&apart);
    for (list, told) in [
        ("s3://mayfly-data/show.jsonl", None),
        (
            "s3://mayfly-data/show/list",
            Some("a place outside of s3://mayfly-data/show/, where task.outputs[0].to puts files"),
        ),
        ("s3://mayfly-data/a", Some("a place that no other output has")),
        ("s3://mayfly-data/lists/", Some("the key of one object")),
        ("s3://elsewhere/list", Some("a bucket of this stack")),
    ] {
        listed["task"]["outputList"] = list.into();
        match told {
            None => drop(parse(&listed.to_string()).unwrap()),
            Some(told) => {
                let message = refused(&listed);
                let start = format!("task.outputList: given {list}; allowed: {told}");
                assert!(message.starts_with(&start), "{message}");
            }
        }
    }
}

#[test]
fn names_that_cannot_exist_together_are_refused() {
    for (document, message) in [
        (
            files(&["ref", "ref/genome.fa"], &[]),
            "task.inputs[1].file: given ref/genome.fa; allowed: a name outside of ref, which is a file: \
             task.inputs[0].file",
        ),
        (
            files(&[], &["a/b/c", "a/b"]),
            "task.outputs[0].file: given a/b/c; allowed: a name outside of a/b, which is a file: \
             task.outputs[1].file",
        ),
        (
            files(&["a/b"], &["a"]),
            "task.inputs[0].file: given a/b; allowed: a name outside of a, which is a file: task.outputs[0].file",
        ),
        (
            files(&["a"], &["a/b"]),
            "task.outputs[0].file: given a/b; allowed: a name outside of a, which is a file: task.inputs[0].file",
        ),
        (
            job(json!({ "inputs": [
                { "file": "in/", "from": "s3://mayfly-data/in/" }, { "file": "in/a", "from": PLACE }
            ] })),
            "task.inputs[1].file: given in/a; allowed: a name outside of in/, which is filled from S3: \
             task.inputs[0].file",
        ),
        (
            job(json!({
                "inputs": [{ "file": "a", "from": PLACE }],
                "outputs": [{ "file": "a/*.ts", "to": "s3://mayfly-data/a/" }]
            })),
            "task.outputs[0].file: given a/*.ts; allowed: a name outside of a, which is a file: task.inputs[0].file",
        ),
        (
            job(json!({
                "inputs": [{ "file": "a/", "from": "s3://mayfly-data/a/" }],
                "outputs": [{ "file": "a", "to": "s3://mayfly-data/b" }]
            })),
            "task.inputs[0].file: given a/; allowed: a name outside of a, which is a file: task.outputs[0].file",
        ),
    ] {
        assert_eq!(refused(&document), message);
    }
    let together = files(&["a", "b/c", "b/d", "a.b/c"], &["a", "b/e", "ab/c"]);
    assert!(parse(&together.to_string()).is_ok());
}

#[test]
fn a_pattern_has_stars_and_nothing_else() {
    for name in ["seg_?", "[ab].ts", "a**", "**.ts", "a/***"] {
        assert_eq!(
            refused(&files(&[], &[name])),
            format!(
                "task.outputs[0].file: given {name}; allowed: a name without ? and [; in a pattern * stands for any \
                 characters but /, and ** alone between slashes for any folders"
            )
        );
    }
    assert!(parse(&files(&["what?[1]*.txt"], &[]).to_string()).is_ok(), "an input may be called so");
}

#[test]
fn a_name_that_no_file_system_takes_is_refused() {
    let part = "ü".repeat(127);
    assert!(parse(&files(&[&format!("{part}x/{part}x")], &[]).to_string()).is_ok());
    assert_eq!(
        refused(&files(&[&format!("a/{part}xx")], &[])),
        "task.inputs[0].file: given a part of 256 bytes; \
         allowed: parts between slashes of at most 255 bytes of UTF-8"
    );
    assert_eq!(
        refused(&files(&[], &[&format!("{}x", "a/".repeat(512))])),
        "task.outputs[0].file: given 1025 bytes; allowed: at most 1024 bytes of UTF-8"
    );
}

#[test]
fn what_sqs_or_ecs_would_refuse_later_is_refused_at_once() {
    for c in ['\u{fffe}', '\u{ffff}', '\0'] {
        let text = format!("a{c}b");
        for document in [
            job(json!({ "command": ["echo", text] })),
            files(&[&text], &[]),
            files(&[], &[&text]),
            from(&format!("https://example.com/{text}")),
            from(&format!("{PLACE}{text}")),
            to(&format!("{PLACE}{text}")),
            with("container", json!({ "environment": { "A": text } })),
        ] {
            let message = refused(&document);
            assert!(message.contains("given a text with NUL, U+FFFE or U+FFFF"), "{message}");
        }
    }
    for value in ["aws:x", "AWS:x", "u\u{308}", "\u{915}\u{93f}", "\u{24b6}", "\u{fffe}", "a\u{a0}b"] {
        let of_user = refused(&with("user", json!(value)));
        let of_tag = refused(&with("tags", json!({ "team": value })));
        assert!(of_user.contains("no combining marks, and no aws:"), "{of_user}");
        assert!(of_tag.contains("no combining marks, and no aws:"), "{of_tag}");
        let of_key = refused(&with("tags", json!({ value: "x" })));
        assert!(of_key.starts_with("tags"), "{of_key}");
    }
    for value in ["aws", "laws:x", "ü日本½Ⅷ", "a b_.:/=+-@1"] {
        assert!(parse(&with("user", json!(value)).to_string()).is_ok(), "{value}");
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn outside(limits: &Limits, document: &Value) -> String {
    parse_within(limits, &document.to_string()).expect_err(&document.to_string())
}

#[test]
fn keys_outside_of_the_stacks_prefixes_are_refused() {
    let narrow = Limits { prefixes: names(&["mayfly-data/team-a/", "other/"]), ..limits() };
    for place in ["s3://mayfly-data/in.mp4", "s3://mayfly-data/team-b/x", "s3://mayfly-data/other/x"] {
        let allowed =
            "BUCKET/KEY that begins as the stack's parameter DataPrefixes says (mayfly-data/team-a/, other/)";
        assert_eq!(
            outside(&narrow, &from(place)),
            format!("task.inputs[0].from: given {place}; allowed: {allowed}")
        );
        assert!(outside(&narrow, &to(place)).starts_with("task.outputs[0].to: given"));
    }
    for document in [from("s3://mayfly-data/team-a/x"), to("s3://mayfly-data/team-a/y/z")] {
        assert!(parse_within(&narrow, &document.to_string()).is_ok());
    }
}

#[test]
fn images_outside_of_the_stacks_patterns_are_refused() {
    let narrow = Limits {
        images: names(&["tools/*", "public.ecr.aws/docker/library/*"]),
        own_image: "registry.example/own:latest".to_owned(),
        registry: "111122223333.dkr.ecr.eu-central-1.amazonaws.com".to_owned(),
        ..limits()
    };
    let of = |image: &str| with("container", json!({ "image": image }));
    for image in [
        "tools/evil",
        "444455556666.dkr.ecr.eu-central-1.amazonaws.com/tools/x",
        "evil.example/public.ecr.aws/docker/library/x",
        "111122223333.dkr.ecr.eu-central-1.amazonaws.com/other:1",
        "registry.example/own:1",
    ] {
        let allowed = "an image of a repository in the stack's parameter AllowedImages (tools/*, \
                       public.ecr.aws/docker/library/*)";
        assert_eq!(
            outside(&narrow, &of(image)),
            format!("container.image: given {image}; allowed: {allowed}")
        );
    }
    for image in [
        "111122223333.dkr.ecr.eu-central-1.amazonaws.com/tools/ffmpeg:7",
        "public.ecr.aws/docker/library/busybox@sha256:0a1b",
        "registry.example/own:latest",
    ] {
        assert!(parse_within(&narrow, &of(image).to_string()).is_ok(), "{image}");
        assert!(parse(&of(image).to_string()).is_ok(), "without patterns any image is allowed");
    }
}

#[test]
fn a_network_that_the_stack_does_not_name_is_refused() {
    let of = |subnet: &str, group: &str| {
        with("network", json!({ "mode": "existing", "subnets": [subnet], "securityGroups": [group] }))
    };
    let off = "network.mode: given existing; allowed: public or private; the stack's parameters ExistingSubnets and \
               ExistingSecurityGroups name nothing to use";
    for closed in
        [Limits { subnets: Vec::new(), ..limits() }, Limits { security_groups: Vec::new(), ..limits() }]
    {
        assert_eq!(outside(&closed, &of("subnet-1a", "sg-1a")), off);
    }
    let narrow =
        Limits { subnets: names(&["subnet-1a"]), security_groups: names(&["sg-1a", "sg-2b"]), ..limits() };
    assert_eq!(
        outside(&narrow, &of("subnet-2b", "sg-1a")),
        "network.subnets[0]: given subnet-2b; allowed: what the stack's parameter ExistingSubnets names (subnet-1a)"
    );
    assert_eq!(
        outside(&narrow, &of("subnet-1a", "sg-3c")),
        "network.securityGroups[0]: given sg-3c; \
         allowed: what the stack's parameter ExistingSecurityGroups names (sg-1a, sg-2b)"
    );
    assert!(parse_within(&narrow, &of("subnet-1a", "sg-2b").to_string()).is_ok());
}

#[test]
fn a_secret_that_the_stack_does_not_name_is_refused() {
    let arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:own-AbCdEf";
    let narrow = Limits { secrets: names(&[arn]), ..limits() };
    let of = |arn: &str| with("container", json!({ "secrets": { "KEY": arn } }));
    for own in [arn.to_owned(), format!("{arn}:key::")] {
        assert!(parse_within(&narrow, &of(&own).to_string()).is_ok());
    }
    assert_eq!(
        outside(&narrow, &of(&format!("{arn}x"))),
        "container.secrets.KEY: given another ARN; allowed: one that the stack's parameter SecretArns names"
    );
}

#[test]
fn what_an_object_is_to_have_is_checked_before_anything_is_made() {
    let key = "arn:aws:kms:eu-central-1:1:key/a";
    let own = Limits { kms_keys: vec![key.to_owned()], ..limits() };
    let of = |field: &str, value: Value| {
        let mut document = to("s3://mayfly-data/a");
        document["task"]["outputs"][0][field] = value;
        document
    };
    for (field, value) in [
        ("contentType", json!("text/plain; charset=utf-8")),
        ("cacheControl", json!("public, max-age=31536000, immutable")),
        ("storageClass", json!("GLACIER_IR")),
        ("kmsKey", json!(key)),
        ("metadata", json!({ "show.id_1": "a b" })),
    ] {
        parse_within(&own, &of(field, value).to_string()).unwrap();
    }
    for (field, value, words) in [
        ("contentType", json!("video"), ".contentType: given video; allowed: a media type such as video/mp4"),
        ("contentType", json!("video/mp4\n"), ".contentType: given"),
        ("cacheControl", json!(""), ".cacheControl: given"),
        ("cacheControl", json!("für immer"), ".cacheControl: given"),
        (
            "storageClass",
            json!("standard"),
            ".storageClass: given standard; allowed: STANDARD, INTELLIGENT_TIERING",
        ),
        (
            "kmsKey",
            json!(key),
            ".kmsKey: given arn:aws:kms:eu-central-1:1:key/a; allowed: a key that the stack's",
        ),
        ("metadata", json!({ "Show": "a" }), ".metadata: given Show; allowed: names of a-z"),
        ("metadata", json!({ "show": "ü" }), ".metadata.show: given ü; allowed: 1 to 255"),
        (
            "metadata",
            json!({ "a": "x".repeat(255), "b": "x".repeat(255), "c": "x".repeat(255), "d": "x".repeat(255),
            "e": "x".repeat(255), "f": "x".repeat(255), "g": "x".repeat(255), "h": "x".repeat(255), "i": "x" }),
            ".metadata: given 2050 bytes; allowed: at most 2048 bytes",
        ),
    ] {
        let told = refused(&of(field, value));
        assert!(told.starts_with(&format!("task.outputs[0]{words}")), "{told}");
    }
}

/// A document of a service that is right, with other fields of `service` and of the document.
fn service(fields: Value, document: Value) -> Value {
    let mut whole = json!({
        "container": { "image": "nginx" },
        "service": { "ports": [{ "port": 80 }], "allowFrom": ["0.0.0.0/0"], "ttlMinutes": 60 }
    });
    let (Value::Object(fields), Value::Object(document)) = (fields, document) else { panic!("fields") };
    whole["service"].as_object_mut().expect("a service").extend(fields);
    whole.as_object_mut().expect("a document").extend(document);
    whole
}

#[test]
fn a_service_in_every_network_that_leads_to_it_is_allowed() {
    let balanced =
        json!({ "loadBalancer": { "certificateArn": "arn:aws:acm:eu-central-1:1:certificate/a" } });
    let groups: Vec<_> = (1..=4).map(|n| format!("sg-{n}")).collect();
    for document in [
        service(json!({}), json!({})),
        service(
            json!({ "loadBalancer": false, "allowFrom": ["10.0.0.0/8", "::/0"], "count": 10 }),
            json!({}),
        ),
        service(
            json!({ "loadBalancer": true, "healthCheck": { "path": "/up", "port": 81, "command": ["CMD", "/up"] } }),
            json!({ "network": { "mode": "private", "egress": "endpoints" } }),
        ),
        service(balanced, json!({ "network": { "mode": "private", "egress": "nat" } })),
        service(
            json!({ "loadBalancer": true, "ports": [{ "port": 53 }, { "port": 53, "protocol": "udp" }] }),
            json!({ "network": { "mode": "existing", "subnets": ["subnet-1"], "securityGroups": groups } }),
        ),
    ] {
        parse(&document.to_string()).unwrap_or_else(|error| panic!("{document}: {error}"));
    }
}

/// Each of the documents is refused with a message that begins so.
fn all_refused<const N: usize>(documents: [(Value, &str); N]) {
    for (document, message) in documents {
        let refusal = refused(&document);
        assert!(refusal.starts_with(message), "{document}\nis refused by {refusal}\nand not by {message}");
    }
}

#[test]
fn a_service_beside_work_or_where_nothing_leads_to_it_is_refused() {
    let private = |egress: &str| json!({ "network": { "mode": "private", "egress": egress } });
    let balanced = || json!({ "loadBalancer": true });
    all_refused([
        (json!({}), "task: missing; a job has a task, which ends by itself, or a service, which is called"),
        (
            service(json!({}), json!({ "task": { "command": ["true"] } })),
            "task: given beside service; allowed: one of",
        ),
        (
            service(json!({}), json!({ "attempts": 2 })),
            "attempts: given beside service; allowed: only with a task",
        ),
        (service(json!({}), json!({ "timeoutMinutes": 2 })), "timeoutMinutes: given beside service"),
        (
            service(json!({ "outputs": [] }), json!({})),
            "service.outputs: there is no such field; allowed: ports",
        ),
        (
            service(json!({}), json!({ "container": {} })),
            "container.image: given none; allowed: the image that",
        ),
        (
            service(json!({}), private("nat")),
            "service.loadBalancer: missing in the mode private; allowed: true or",
        ),
        (
            service(balanced(), private("ipv6")),
            "network.egress: given ipv6 for a service; allowed: nat or endpoints",
        ),
    ]);
}

#[test]
fn ports_that_no_load_balancer_can_have_or_check_are_refused() {
    let udp = json!([{ "port": 53, "protocol": "udp" }]);
    let certificate = json!({ "certificateArn": "arn:aws:acm:eu-central-1:1:certificate/a" });
    let many = |n: u16| (1..=n).map(|port| json!({ "port": port })).collect::<Vec<_>>();
    let groups: Vec<_> = (1..=5).map(|n| format!("sg-{n}")).collect();
    let existing =
        json!({ "network": { "mode": "existing", "subnets": ["subnet-1"], "securityGroups": groups } });
    let balanced = json!({ "loadBalancer": true });
    all_refused([
        (service(json!({ "ports": [] }), json!({})), "service.ports: given 0 ports; allowed: 1 to 10"),
        (service(json!({ "ports": many(11) }), json!({})), "service.ports: given 11 ports; allowed: 1 to 10"),
        (service(json!({ "loadBalancer": true, "ports": [] }), json!({})), "service.ports: given 0 ports"),
        (
            service(json!({ "loadBalancer": true, "ports": many(6) }), json!({})),
            "service.ports: given 6 port numbers; allowed: at most 5 with a load balancer",
        ),
        (
            service(json!({ "loadBalancer": certificate, "ports": udp }), json!({})),
            "service.ports[0].protocol: given udp beside service.loadBalancer.certificateArn; allowed: tcp alone",
        ),
        (
            service(json!({ "loadBalancer": true, "ports": udp }), json!({})),
            "service.ports[0].protocol: given udp, by which nobody can be asked after their health; allowed: a TCP port",
        ),
        (
            service(json!({ "healthCheck": { "path": "/" } }), json!({})),
            "service.healthCheck.path: given without service.loadBalancer; allowed: only with one",
        ),
        (
            service(json!({ "healthCheck": { "path": "up" }, "loadBalancer": true }), json!({})),
            "service.healthCheck.path: given up; allowed: a path such as /health",
        ),
        (
            service(json!({ "healthCheck": { "command": ["/up"] } }), json!({})),
            "service.healthCheck.command: given /up; allowed: CMD and an argument vector",
        ),
        (
            service(balanced, existing),
            "network.securityGroups: given 5 groups; allowed: at most 4 for a service",
        ),
    ]);
}

#[test]
fn what_a_service_cannot_be_given_is_refused() {
    all_refused([
        (
            service(json!({ "ttlMinutes": 10_081 }), json!({})),
            "service.ttlMinutes: given 10081; allowed: a whole number in digits alone, 1 to 10080",
        ),
        (service(json!({ "count": 11 }), json!({})), "service.count: given 11; allowed: a whole number"),
        (
            service(json!({ "allowFrom": ["everybody"] }), json!({})),
            "service.allowFrom[0]: given everybody; allowed: a CIDR block such as 203.0.113.7/32",
        ),
        (
            service(json!({ "allowFrom": ["10.1.2.3/8"] }), json!({})),
            "service.allowFrom[0]: given 10.1.2.3/8; allowed: 10.0.0.0/8, the block that it is in",
        ),
        (
            service(json!({ "allowFrom": [] }), json!({})),
            "service.allowFrom: given an empty list; allowed: the CIDR",
        ),
        (
            service(json!({ "ports": [{ "port": 80 }, { "port": 80, "protocol": "tcp" }] }), json!({})),
            "service.ports[1].port: given 80/tcp; allowed: a port that is given only once with its protocol",
        ),
        (
            service(json!({ "ports": [{ "port": 80, "protocol": "http" }] }), json!({})),
            "service.ports[0].protocol: given http; allowed: tcp or udp",
        ),
        (
            service(json!({ "loadBalancer": "yes" }), json!({})),
            "service.loadBalancer: given \"yes\"; allowed: true, false or an object with certificateArn",
        ),
        (
            service(json!({ "loadBalancer": { "certificate": "a" } }), json!({})),
            "service.loadBalancer.certificate: there is no such field; allowed: certificateArn",
        ),
        (
            service(json!({ "loadBalancer": ["a"] }), json!({})),
            "service.loadBalancer: given a list; allowed: an object",
        ),
        (
            service(json!({ "command": [] }), json!({})),
            "service.command: given an empty list; allowed: a list of arguments, or nothing for the image's own",
        ),
    ]);
}

#[test]
fn no_more_rules_are_planned_than_a_group_takes() {
    let blocks: Vec<_> = (0..31).map(|n| format!("10.0.{n}.0/24")).collect();
    let ports = json!([{ "port": 80 }, { "port": 81 }]);
    let refusal = refused(&service(json!({ "allowFrom": blocks, "ports": ports }), json!({})));
    assert!(
        refusal.starts_with("service.allowFrom: given blocks that make 62 rules; allowed: at most 60"),
        "{refusal}"
    );
    let both: Vec<_> =
        blocks.into_iter().take(30).chain((0..30).map(|n| format!("2001:db8:{n:x}::/48"))).collect();
    assert!(parse(&service(json!({ "allowFrom": both, "ports": ports }), json!({})).to_string()).is_ok());
}

fn container(field: &str, value: &Value) -> Value {
    with("container", json!({ "image": "alpine", field: value }))
}

#[test]
fn a_container_says_as_whom_where_and_within_what_its_command_runs() {
    for (field, value) in [
        ("user", json!("1000")),
        ("user", json!("app:video")),
        ("user", json!("0:0")),
        ("workingDirectory", json!("/app")),
        ("workingDirectory", json!("image")),
        ("readOnly", json!(true)),
        ("architecture", json!("ARM64")),
        ("stopTimeout", json!(2)),
        ("stopTimeout", json!(100)),
        ("ulimits", json!([{ "name": "nofile", "softLimit": 1, "hardLimit": 1_048_576 }])),
    ] {
        parse(&container(field, &value).to_string()).unwrap();
    }
    for (field, value, words) in [
        ("user", json!(""), "container.user: given an empty text; allowed: a user or USER:GROUP"),
        ("user", json!("a:b:c"), "container.user: given a:b:c"),
        ("user", json!("a b"), "container.user: given a b"),
        ("user", json!("app:"), "container.user: given app:"),
        (
            "workingDirectory",
            json!("app"),
            "container.workingDirectory: given app; allowed: an absolute path",
        ),
        ("readOnly", json!("yes"), "container.readOnly: given \"yes\"; allowed: a boolean"),
        ("architecture", json!("arm64"), "container.architecture: given arm64; allowed: "),
        (
            "stopTimeout",
            json!(1),
            "container.stopTimeout: given 1; allowed: a whole number in digits alone, 2 to 120",
        ),
        ("stopTimeout", json!(101), "container.stopTimeout: given 101; allowed: at most 100 for a task"),
        (
            "ulimits",
            json!([{ "name": "nofile", "softLimit": 2, "hardLimit": 1 }]),
            "container.ulimits[0]: given softLimit 2 and hardLimit 1; allowed: 1 to 1048576",
        ),
        ("ulimits", json!([["nofile", 1, 1]]), "container.ulimits[0]: given a list; allowed: an object"),
        (
            "ulimits",
            json!([{ "name": "core", "softLimit": 1, "hardLimit": 1 }]),
            "container.ulimits[0].name: given",
        ),
        ("repositoryCredentials", json!("secret"), "container.repositoryCredentials: given"),
    ] {
        let message = refused(&container(field, &value));
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn credentials_of_a_registry_are_the_stacks_to_allow_and_are_not_repeated() {
    let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:registry-a1b2c3";
    let document = container("repositoryCredentials", &json!(arn)).to_string();
    let message = parse(&document).unwrap_err();
    assert!(message.contains("SecretArns") && !message.contains("a1b2c3"), "{message}");
    let limits = Limits { secrets: vec![arn.to_owned()], ..limits() };
    parse_within(&limits, &document).unwrap();
}

#[test]
fn a_task_without_a_command_runs_what_its_image_does() {
    let document = parse(r#"{ "task": {} }"#).unwrap();
    assert_eq!(document.work.unwrap().command, Vec::<String>::new());
    let message = refused(&json!({ "task": { "command": [""] } }));
    assert!(message.contains("task.command[0]: given"), "{message}");
}
