//! A large file that goes up in parts, as the real worker brings it there: what is asked for, in which order, and what is made
//! of answers that are lost. Its parts go one after the other.

use mayfly_model::class::Class;
use mayfly_model::message::{Failure, FileSize, News, Order};
use mayfly_model::parts::{Cut, PartsWanted, SignedParts};
use serde_json::json;

use crate::s3::objects::NoSuchUpload;
use crate::worker::behaviour::Quirk;
use crate::worker::truth::Stored;
use crate::worker::urls::{self, Verdict};
use crate::worker::work::{Course, failure};

impl Course {
    /// `output` is the one that it is of, where that is a folder or a pattern.
    pub async fn upload_in_parts(&mut self, file: &FileSize, output: Option<&str>) -> Result<(), Failure> {
        let failed = |why: &str| {
            failure(Class::UploadFailed, format!("the output {} could not be uploaded: {why}", file.file))
        };
        let cut = Cut::of(file.bytes);
        let (mut id, mut stored, mut refused_at) = (String::new(), 0, None);
        loop {
            let from = (stored + 1).min(cut.count());
            let signed = self.signed(file, output, from).await.ok_or_else(|| failed("no signatures came"))?;
            if id != signed.id {
                (id, stored) = (signed.id.clone(), 0);
                if from != 1 {
                    continue;
                }
            }
            let verdict = if stored < cut.count() {
                self.put_all(cut, &signed, &mut stored).await
            } else {
                let verdict = urls::completion(&signed, self.reporter.clock.now());
                self.note_signed(&file.file, urls::place(&signed.complete), &verdict);
                if verdict == Verdict::Good {
                    return self.complete(cut, file, &signed).map_err(|NoSuchUpload| failed("NoSuchUpload"));
                }
                Ok(verdict)
            };
            match verdict.map_err(|NoSuchUpload| failed("NoSuchUpload"))? {
                Verdict::Good => {}
                Verdict::Expired if refused_at != Some(stored) => refused_at = Some(stored),
                refused => return Err(failed(&refused.refusal().unwrap_or_default())),
            }
        }
    }

    /// Puts what is missing of the signed parts, as far as their signatures are good.
    async fn put_all(
        &mut self,
        cut: Cut,
        signed: &SignedParts,
        stored: &mut u16,
    ) -> Result<Verdict, NoSuchUpload> {
        let each = self.behaviour.upload / u32::from(cut.count());
        let before = *stored;
        for (part, signature) in signed.parts().skip_while(|(part, _)| *part <= before) {
            let verdict = urls::part(signed, part, signature, self.reporter.clock.now());
            self.note_signed(&signed.file, urls::place(&signed.url), &verdict);
            if verdict != Verdict::Good {
                return Ok(verdict);
            }
            let flight = self.objects.part(&signed.id)?;
            self.end.clock.sleep(each).await;
            flight.land(part)?;
            *stored = part;
        }
        Ok(Verdict::Good)
    }

    /// Makes the object. Where the answer to that is lost, the upload is unknown at the next try, and the object is there.
    fn complete(&self, cut: Cut, file: &FileSize, signed: &SignedParts) -> Result<(), NoSuchUpload> {
        let (bucket, key) = urls::object_of(&signed.look).ok_or(NoSuchUpload)?;
        let complete = || self.objects.complete(&signed.id, cut.count(), file.bytes);
        if self.behaviour.quirk == Some(Quirk::LosesCompletion) {
            let _lost = complete();
        }
        let completed = complete();
        if completed.is_err() && self.objects.size(&format!("{bucket}/{key}")) != Some(file.bytes) {
            return completed;
        }
        let place = format!("{} {key}", urls::place(&signed.look));
        let stored = Stored { at: self.reporter.clock.now(), file: file.file.clone(), place };
        self.reporter.truth.of_start(&self.reporter.task, |start| start.stored.push(stored));
        self.reporter.log.info("output uploaded", json!({ "file": file.file, "bytes": file.bytes }));
        Ok(())
    }

    /// An upload for the file, and its parts from `from` on, signed; none where they never came.
    async fn signed(&mut self, file: &FileSize, output: Option<&str>, from: u16) -> Option<SignedParts> {
        let output = output.map(str::to_owned);
        let wanted = PartsWanted { file: file.file.clone(), output, bytes: file.bytes, from };
        self.converse(News::PartsWanted(wanted), |answer| match answer {
            Order::Parts(parts) if parts.file == file.file && parts.from == from => Some(parts),
            _ => None,
        })
        .await
    }
}
