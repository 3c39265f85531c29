//! What a worker does for one assignment.

use std::convert::Infallible;
use std::future::pending;
use std::path::{Component, Path};
use std::slice;
use std::time::Duration;

use local_aws::clock::Clock;
use mayfly_model::class::Class;
use mayfly_model::job::Pattern;
use mayfly_model::message::{
    Assignment, Download, Failure, FileSize, Finished, News, OUTPUT_LIST, Order, Phase, Progress, Room,
    SignedUrls, Upload,
};
use mayfly_model::parts::PARTS_FROM;
use serde_json::{Value, json};
use tokio::select;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::s3::objects::Objects;
use crate::worker::behaviour::{Behaviour, End, Moment, Quirk};
use crate::worker::life::Worker;
use crate::worker::reports::Reporter;
use crate::worker::truth::{Signed, Start, Stored};
use crate::worker::urls::{self, Verdict};

/// The worker's own patience with questions for URLs: between two of them, and with all.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(30);
pub(super) const GIVE_UP: Duration = Duration::from_mins(5);
/// Longer than any job, and short enough to be added to any time.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// Why an assignment ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    TimedOut,
    Interrupted,
    Superseded,
}

impl Stop {
    /// How long the worker lets the command go on.
    fn grace(self) -> Duration {
        match self {
            Self::Interrupted => Duration::from_secs(20),
            Self::TimedOut | Self::Superseded => Duration::from_secs(10),
        }
    }

    fn failure(self, phase: Phase) -> Failure {
        let (class, message) = match self {
            Self::TimedOut => (Class::TimedOut, "the attempt took too long"),
            // In the real one's words.
            Self::Interrupted => (
                Class::SpotInterrupted,
                "the container was told to stop (Spot capacity taken back, or the service was stopped)",
            ),
            Self::Superseded => (Class::Internal, "a newer start took over"),
        };
        let output = (phase == Phase::Running).then(String::new);
        Failure { class, message: message.to_owned(), output }
    }
}

impl Worker {
    /// Carries out one assignment and reports how it ended; gives a newer one that supersedes it.
    pub async fn carry_out(&mut self, assignment: Assignment) -> Result<Option<Assignment>, ()> {
        let (body, clock) = (self.body.clone(), self.reporter.clock);
        let behaviour = self.config.director.behaviour(&self.reporter.task, &assignment);
        self.note(&assignment);
        body.ignore_term(matches!(behaviour.quirk, Some(Quirk::IgnoresTerm | Quirk::IgnoresTime)));
        let fate = {
            let (body, quirk) = (body.clone(), behaviour.quirk.clone());
            async move {
                match quirk {
                    Some(Quirk::Hangs(after)) => {
                        clock.sleep(after).await;
                        body.hang().await
                    }
                    Some(Quirk::Dies { moment: Moment::After(after), signal, out_of_memory }) => {
                        clock.sleep(after).await;
                        body.die(signal, out_of_memory).await
                    }
                    _ => pending::<Infallible>().await,
                }
            }
        };
        let carried_out = select! {
            biased;
            never = fate => match never {},
            carried_out = self.work_and_report(assignment, behaviour) => carried_out,
        };
        body.ignore_term(false);
        carried_out
    }

    fn note(&self, assignment: &Assignment) {
        let Assignment { job, turn, nonce, .. } = assignment;
        let fields = json!({ "attempt": turn.attempt, "start": turn.start });
        self.reporter.log.info("assignment taken on", fields);
        let start = Start {
            job: job.clone(),
            turn: *turn,
            nonce: nonce.clone(),
            began: self.reporter.clock.now(),
            ended: None,
            result: None,
            signed: Vec::new(),
            stored: Vec::new(),
            sent: Vec::new(),
        };
        self.reporter.truth.took_on(&self.reporter.task, start);
    }

    async fn work_and_report(
        &mut self,
        assignment: Assignment,
        behaviour: Behaviour,
    ) -> Result<Option<Assignment>, ()> {
        let quirk = behaviour.quirk.clone();
        self.dies_at(quirk.as_ref(), Moment::TakenOn).await;
        if quirk == Some(Quirk::Forges) {
            self.forge(&assignment).await;
        }
        let (finished, superseded_by) = self.work(&assignment, behaviour).await?;
        self.dies_at(quirk.as_ref(), Moment::Stored).await;
        if superseded_by.is_none() || finished.failure.is_none() {
            self.report(&assignment, finished, quirk.as_ref()).await;
        }
        self.dies_at(quirk.as_ref(), Moment::Reported).await;
        Ok(superseded_by)
    }

    /// Works on an assignment, and heeds meanwhile what arrives: gives what came out, and a newer assignment.
    async fn work(
        &mut self,
        assignment: &Assignment,
        behaviour: Behaviour,
    ) -> Result<(Finished, Option<Assignment>), ()> {
        let (told_to_stop, reporter) = (self.body.told_to_stop.clone(), self.reporter.clone());
        let stop = watch::Sender::new(None);
        let (urls, answers) = mpsc::unbounded_channel();
        let objects = self.config.objects.clone();
        let course =
            Course::new(assignment.clone(), behaviour, reporter.clone(), objects, answers, stop.subscribe());
        // On the heap, since it holds the state of everything that is done for the assignment.
        let mut work = Box::pin(course.work());
        let mut superseded_by = None;
        let finished = loop {
            select! {
                // What is finished stays so, whatever comes at the same moment.
                biased;
                finished = &mut work => break finished,
                () = told_to_stop.cancelled(), if stop.borrow().is_none() => {
                    stop.send_replace(Some(Stop::Interrupted));
                }
                order = self.mailbox.orders.recv() => match order.ok_or(())? {
                    Order::Run(newer) if self.take_on(&newer) => {
                        reporter.log.info("assignment superseded", json!({ "start": newer.turn.start }));
                        if stop.borrow().is_none() {
                            stop.send_replace(Some(Stop::Superseded));
                        }
                        superseded_by = Some(newer);
                    }
                    Order::Run(_) => {}
                    answer if answer.start() == assignment.turn.start => _ = urls.send(answer),
                    _ => reporter.log.info("urls of another start ignored", Value::Null),
                },
            }
        };
        let now = reporter.clock.now();
        reporter.truth.of_start(&reporter.task, |start| {
            start.ended = Some(now);
            start.result = Some(finished.clone());
        });
        Ok((finished, superseded_by))
    }

    async fn report(&self, assignment: &Assignment, finished: Finished, quirk: Option<&Quirk>) {
        let Self { reporter, body, .. } = self;
        match &finished.failure {
            Some(failure) => reporter.log.warn(&format!("assignment failed: {}", failure.message)),
            None => reporter.log.info("assignment completed", json!({ "seconds": finished.seconds })),
        }
        let message = reporter.message(assignment, News::Finished(finished));
        let told_to_stop = &body.told_to_stop;
        match quirk {
            Some(Quirk::EndsWithoutReport(code)) => match body.exit(*code).await {},
            Some(Quirk::Garbles(text)) => reporter.mention(text.clone()).await,
            Some(Quirk::ReportsLate(late)) => {
                reporter.clock.sleep(*late).await;
                reporter.insist(message, told_to_stop).await;
            }
            Some(Quirk::ReportsTwice(later)) => {
                reporter.insist(message.clone(), told_to_stop).await;
                reporter.clock.sleep(*later).await;
                reporter.insist(message, told_to_stop).await;
            }
            _ => reporter.insist(message, told_to_stop).await,
        }
    }

    /// Says that the work has ended well, in the names of others.
    async fn forge(&self, assignment: &Assignment) {
        let outputs =
            assignment.outputs.iter().map(|file| FileSize { file: file.clone(), bytes: 1 }).collect();
        let finished = Finished { seconds: 1.0, exit_code: Some(0), outputs, ..Finished::default() };
        let named =
            |assignment: Assignment| self.reporter.message(&assignment, News::Finished(finished.clone()));
        let guessed = named(Assignment { nonce: "guessed".to_owned(), ..assignment.clone() });
        let others = ["job-0", "job-1", "nobody"].into_iter().filter(|job| *job != assignment.job);
        let others = others.map(|job| named(Assignment { job: job.to_owned(), ..assignment.clone() }));
        let token = guessed.replace("\"nonce\"", "\"taskToken\"");
        let texts = ["x", "{}", "[1", "null"].map(str::to_owned);
        for message in [guessed, token].into_iter().chain(others).chain(texts) {
            self.reporter.mention(message).await;
        }
    }

    async fn dies_at(&self, quirk: Option<&Quirk>, now: Moment) {
        if let Some(Quirk::Dies { moment, signal, out_of_memory }) = quirk
            && *moment == now
        {
            match self.body.die(*signal, *out_of_memory).await {}
        }
    }
}

/// An assignment under way.
pub(super) struct Course {
    pub assignment: Assignment,
    pub behaviour: Behaviour,
    pub reporter: Reporter,
    pub objects: Objects,
    pub answers: mpsc::UnboundedReceiver<Order>,
    pub end: Stopping,
    began: Instant,
    progress: watch::Sender<Progress>,
    pub finished: Finished,
    /// How much room the report has left for names of files.
    pub room: Room,
    /// The list of what was uploaded, as far as it is there.
    pub list: String,
}

/// How an assignment learns that it is to end early.
#[derive(Clone)]
pub(super) struct Stopping {
    pub clock: Clock,
    request: watch::Receiver<Option<Stop>>,
    deadline: Instant,
}

impl Stopping {
    async fn came(&self) -> Stop {
        let mut request = self.request.clone();
        let requested = async {
            match request.wait_for(Option::is_some).await.ok().and_then(|stop| *stop) {
                Some(stop) => stop,
                // Nobody is left who could ask.
                None => pending().await,
            }
        };
        select! {
            biased;
            stop = requested => stop,
            () = tokio::time::sleep_until(self.deadline) => Stop::TimedOut,
        }
    }

    /// Does `work`, or drops it at the end. What is done when the end comes is done.
    async fn guard(
        &self,
        phase: Phase,
        work: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        select! {
            biased;
            result = work => result,
            stop = self.came() => Err(stop.failure(phase)),
        }
    }
}

impl Course {
    fn new(
        assignment: Assignment,
        behaviour: Behaviour,
        reporter: Reporter,
        objects: Objects,
        answers: mpsc::UnboundedReceiver<Order>,
        request: watch::Receiver<Option<Stop>>,
    ) -> Self {
        let clock = reporter.clock;
        let began = clock.instant();
        let time = match behaviour.quirk {
            Some(Quirk::IgnoresTime) => LONGEST,
            _ => Duration::from_secs(assignment.timeout_seconds).min(LONGEST),
        };
        let progress = Progress { phase: Phase::Downloading, percent: None, line: None };
        Self {
            end: Stopping { clock, request, deadline: began + clock.work_scale.real(time) },
            began,
            progress: watch::Sender::new(progress),
            finished: Finished::default(),
            room: Room::default(),
            list: String::new(),
            assignment,
            behaviour,
            reporter,
            objects,
            answers,
        }
    }

    /// Works to the end, with heartbeats all the way.
    async fn work(mut self) -> Finished {
        let Assignment { inputs, input_folders, outputs, .. } = &self.assignment;
        let mut names = inputs.iter().map(|input| &input.file).chain(input_folders).chain(outputs);
        let outside = names.find(|name| !is_inside(name)).cloned();
        let result = if let Some(name) = outside {
            Err(failure(Class::InvalidJob, format!("the file name {name:?} leads out of the working folder")))
        } else {
            let heartbeats =
                heartbeats(self.reporter.clone(), self.assignment.clone(), self.progress.subscribe());
            select! {
                biased;
                result = self.phases() => result,
                never = heartbeats => match never {},
            }
        };
        let clock = self.reporter.clock;
        let seconds = clock.work_scale.cloud(clock.instant() - self.began).as_secs_f64();
        Finished { seconds: (seconds * 1000.0).round() / 1000.0, failure: result.err(), ..self.finished }
    }

    async fn phases(&mut self) -> Result<(), Failure> {
        let end = self.end.clone();
        end.guard(Phase::Downloading, self.download_all()).await?;
        self.run_command().await?;
        end.guard(Phase::Uploading, self.upload_all()).await
    }

    async fn download_all(&mut self) -> Result<(), Failure> {
        let mut listed = Vec::new();
        for folder in self.assignment.input_folders.clone() {
            self.show(Phase::Downloading, Some(&folder));
            listed.push(self.list(folder).await?);
        }
        for input in self.assignment.inputs.clone() {
            self.show(Phase::Downloading, Some(&input.file));
            self.download(input).await?;
        }
        for (folder, pages) in listed {
            self.fill(&folder, pages).await?;
        }
        Ok(())
    }

    async fn download(&mut self, Download { file, mut url }: Download) -> Result<(), Failure> {
        let mut was_refused = false;
        let why = loop {
            let now = self.reporter.clock.now();
            let verdict = urls::download(&url, now);
            self.note_signed(&file, urls::place(&url), &verdict);
            match verdict {
                Verdict::Good => {
                    self.end.clock.sleep(self.behaviour.download).await;
                    self.reporter.log.info("input downloaded", json!({ "file": file }));
                    return Ok(());
                }
                Verdict::Expired if !was_refused => was_refused = true,
                Verdict::Expired => break "its fresh URL has expired too".to_owned(),
                Verdict::Bad(why) => break why,
            }
            let Some(fresh) = self.ask(slice::from_ref(&file), &[]).await else {
                break "no fresh URL came".to_owned();
            };
            url = fresh.downloads.into_iter().next().map(|download| download.url).unwrap_or_default();
        };
        Err(failure(Class::InputUnavailable, format!("the input {file} could not be downloaded: {why}")))
    }

    async fn run_command(&mut self) -> Result<(), Failure> {
        if self.assignment.command.is_empty() {
            let message = "task.command is an empty list; it needs a program";
            return Err(failure(Class::InvalidJob, message.to_owned()));
        }
        self.show(Phase::Running, None);
        let clock = self.end.clock;
        let stopped = select! {
            biased;
            () = clock.sleep(self.behaviour.takes) => None,
            stop = self.end.came() => Some(stop),
        };
        if let Some(stop) = stopped {
            clock.sleep(self.behaviour.resists.min(stop.grace())).await;
            return Err(stop.failure(Phase::Running));
        }
        match self.behaviour.end.clone() {
            End::Success => {
                self.finished.exit_code = Some(0);
                Ok(())
            }
            End::Failure { exit_code, failure } => {
                self.finished.exit_code = exit_code;
                Err(failure)
            }
        }
    }

    async fn upload_all(&mut self) -> Result<(), Failure> {
        let wanted = self.measure()?;
        let no_answer = || upload_failure("no URLs to upload the outputs came; see the log of handle-report");
        if let Some(first) = wanted.first() {
            self.show(Phase::Uploading, Some(&first.file));
        }
        let fresh = if wanted.is_empty() {
            Vec::new()
        } else {
            self.ask(&[], &wanted).await.ok_or_else(no_answer)?.uploads
        };
        for (output, upload) in wanted.into_iter().zip(fresh) {
            self.show(Phase::Uploading, Some(&output.file));
            if Pattern::parse(&output.file).is_some() {
                self.deliver(&output, upload).await?;
            } else {
                if output.bytes > PARTS_FROM {
                    self.upload_in_parts(&output, None).await?;
                } else {
                    self.upload(&output, upload).await?;
                }
                self.note_listed(&output.file, output.bytes);
                self.finished.outputs.push(output);
            }
        }
        if self.assignment.lists_outputs {
            let list = FileSize { file: OUTPUT_LIST.to_owned(), bytes: self.list.len() as u64 };
            let fresh = self.ask(&[], slice::from_ref(&list)).await.ok_or_else(no_answer)?;
            for upload in fresh.uploads {
                self.upload(&list, upload).await?;
            }
        }
        Ok(())
    }

    /// The outputs that are there, with their sizes.
    fn measure(&self) -> Result<Vec<FileSize>, Failure> {
        let Behaviour { output_bytes, folder_files, .. } = self.behaviour;
        let mut there = Vec::new();
        for file in &self.assignment.outputs {
            let files = if Pattern::parse(file).is_some() { folder_files } else { 1 };
            if files > 0 {
                there.push(FileSize { file: file.clone(), bytes: output_bytes + files - 1 });
            } else if !self.assignment.optional_outputs.contains(file) {
                return Err(upload_failure(&format!(
                    "the command succeeded, but its output {file} is not usable"
                )));
            }
        }
        Ok(there)
    }

    /// Brings one output to its place.
    async fn upload(&mut self, output: &FileSize, mut form: Upload) -> Result<(), Failure> {
        let uploaded = self.upload_by(&mut form, output, output, Upload::clone).await;
        let message = |why| format!("the output {} could not be uploaded: {why}", output.file);
        uploaded.map_err(|why| upload_failure(&message(why)))
    }

    /// Brings `file`, which is of `output`, to its place by the form of that, which `complete` makes the file's; tells why not.
    pub async fn upload_by(
        &mut self,
        form: &mut Upload,
        output: &FileSize,
        file: &FileSize,
        complete: impl Fn(&Upload) -> Upload,
    ) -> Result<(), String> {
        let mut was_refused = false;
        loop {
            match self.post(&file.file, file.bytes, &complete(form)).await {
                Verdict::Good => return Ok(()),
                Verdict::Expired if !was_refused => was_refused = true,
                Verdict::Expired => return Err("its fresh signature has expired too".to_owned()),
                Verdict::Bad(why) => return Err(why),
            }
            let fresh = self.ask(&[], slice::from_ref(output)).await;
            *form = fresh.and_then(|fresh| fresh.uploads.into_iter().next()).ok_or("no fresh URL came")?;
        }
    }

    /// What comes of one POST, which is noted.
    async fn post(&self, file: &str, bytes: u64, form: &Upload) -> Verdict {
        let verdict = urls::upload(form, bytes, self.reporter.clock.now());
        let key = form.fields.get("key").map(String::as_str).unwrap_or_default();
        let place = format!("{} {key}", urls::place(&form.url));
        self.note_signed(file, place.clone(), &verdict);
        if verdict == Verdict::Good {
            self.end.clock.sleep(self.behaviour.upload).await;
            let stored = Stored { at: self.reporter.clock.now(), file: file.to_owned(), place };
            self.reporter.truth.of_start(&self.reporter.task, |start| start.stored.push(stored));
            self.reporter.log.info("output uploaded", json!({ "file": file, "bytes": bytes }));
        }
        verdict
    }

    /// A line of the list of outputs; of what is in it only the length is played.
    pub fn note_listed(&mut self, file: &str, bytes: u64) {
        self.list += &json!({ "file": file, "bytes": bytes }).to_string();
        self.list.push('\n');
    }

    /// Asks for URLs until all are there, which then are in the order of the question; none where they never came.
    pub async fn ask(&mut self, downloads: &[String], uploads: &[FileSize]) -> Option<SignedUrls> {
        let start = self.assignment.turn.start;
        let mut found = SignedUrls { start, downloads: Vec::new(), uploads: Vec::new() };
        let question = News::UrlsWanted { downloads: downloads.to_vec(), uploads: uploads.to_vec() };
        self.converse(question, |answer| {
            if let Order::Urls(answer) = answer {
                found.downloads.extend(answer.downloads);
                found.uploads.extend(answer.uploads);
            }
            let download = |file: &String| found.downloads.iter().rfind(|got| got.file == *file).cloned();
            let upload = |file: &FileSize| found.uploads.iter().rfind(|got| got.file == file.file).cloned();
            let all = (downloads.iter().map(download).collect(), uploads.iter().map(upload).collect());
            let (Some(downloads), Some(uploads)) = all else { return None };
            Some(SignedUrls { start, downloads, uploads })
        })
        .await
    }

    /// Asks `question` again and again, until `take` has what it wants of the answers; none where it never came.
    pub async fn converse<T>(
        &mut self,
        question: News,
        mut take: impl FnMut(Order) -> Option<T>,
    ) -> Option<T> {
        while self.answers.try_recv().is_ok() {}
        let scale = self.end.clock.scale;
        let mut questions = interval(scale.real(ASK_AGAIN));
        let (reporter, assignment, answers) = (&self.reporter, &self.assignment, &mut self.answers);
        let conversation = async {
            loop {
                select! {
                    biased;
                    Some(answer) = answers.recv() => {
                        if let Some(taken) = take(answer) {
                            return taken;
                        }
                    }
                    _ = questions.tick() => {
                        reporter.mention(reporter.message(assignment, question.clone())).await;
                    }
                }
            }
        };
        timeout(scale.real(GIVE_UP), conversation).await.ok()
    }

    pub fn note_signed(&self, file: &str, place: String, verdict: &Verdict) {
        let at = self.reporter.clock.now();
        let signed = Signed { at, file: file.to_owned(), place, refused: verdict.refusal() };
        self.reporter.truth.of_start(&self.reporter.task, |start| start.signed.push(signed));
    }

    fn show(&self, phase: Phase, file: Option<&str>) {
        let line = file.map(str::to_owned);
        self.progress.send_replace(Progress { phase, percent: None, line });
    }
}

/// Reports the progress at once and then in every period.
async fn heartbeats(
    reporter: Reporter,
    assignment: Assignment,
    progress: watch::Receiver<Progress>,
) -> Infallible {
    let period = Duration::from_secs(assignment.report_every_seconds.max(1)).min(LONGEST);
    let mut ticks = interval(reporter.clock.work_scale.real(period));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = progress.borrow().clone();
        reporter.mention(reporter.message(&assignment, News::Heartbeat(now))).await;
    }
}

/// Whether a file of this name is in the working folder.
fn is_inside(name: &str) -> bool {
    let mut parts = Path::new(name).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

pub(super) fn failure(class: Class, message: String) -> Failure {
    Failure { class, message, output: None }
}

pub(super) fn upload_failure(message: &str) -> Failure {
    failure(Class::UploadFailed, message.to_owned())
}
