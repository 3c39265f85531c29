//! The real worker holds the conversations that the played one has to hold too.

use mayfly_model::message::{News, OUTPUT_LIST, Object, Page, Report, Upload};

use crate::cloud::Cloud;
use crate::conversation::{self, BYTES, Partner, conversations};

impl Partner for Cloud {
    fn mail(&mut self, message: String) {
        Self::mail(self, message);
    }

    async fn report(&mut self) -> Report {
        Self::report(self, |_| true).await
    }

    fn terminate(&self) {
        Self::terminate(self);
    }

    async fn ended(self) -> (Option<i32>, Vec<News>) {
        let state = self.queues.state.clone();
        let (status, _) = Self::ended(self).await;
        let news = state.news.lock().unwrap();
        (status.code(), news.iter().map(|news| serde_json::from_str(news).unwrap()).collect())
    }

    fn input(&self, expired: bool) -> String {
        let signature = if expired { "expired" } else { "good" };
        self.place(&format!("bucket/in.txt?X-Amz-Signature={signature}"))
    }

    fn output(&self) -> Upload {
        Upload { file: "out.txt".to_owned(), url: self.place("bucket"), fields: [].into() }
    }

    fn output_folder(&self) -> Upload {
        Upload { file: "out/".to_owned(), ..self.output() }
    }

    fn output_list(&self, _: u64) -> Upload {
        Upload { file: OUTPUT_LIST.to_owned(), ..self.output() }
    }

    fn page(&self, after: Option<&str>, names: &[&str], has_more: bool) -> Page {
        let object = |name: &&str| Object {
            name: (*name).to_owned(),
            bytes: BYTES,
            tag: "\"1\"".to_owned(),
            signature: "good".to_owned(),
        };
        Page {
            start: 1,
            folder: "in/".to_owned(),
            after: after.map(str::to_owned),
            url: self.place("bucket/in/?a=1"),
            objects: names.iter().map(object).collect(),
            has_more,
        }
    }
}

#[tokio::test]
async fn the_worker_says_what_it_is_to_say() {
    for (about, lines) in conversations() {
        let cloud = Cloud::start().await;
        for name in ["in.txt", "in/a", "in/b/c", "in/d"] {
            cloud.queues.state.objects.lock().unwrap().insert(format!("/bucket/{name}"), b"hello".to_vec());
        }
        conversation::hold(about, lines, cloud).await;
    }
}
