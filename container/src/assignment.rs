//! Carries out one assignment: downloads the inputs, runs the command, uploads the outputs, and sends heartbeats all the
//! way.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_model::class::Class;
use mayfly_model::message::POST_LIMIT;
use mayfly_model::message::{
    Assignment, Download, Failure, FileSize, Finished, News, Phase, Progress, SignedUrls, Upload,
};
use mayfly_model::shown::shown;
use tokio::select;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::info;

use crate::command::{self, Place};
use crate::descendants::Subreaper;
use crate::disk::free;
use crate::done::Reporter;
use crate::download::{self, Partial};
use crate::folder::{self, Folder};
use crate::http::{Http, Tries, Trouble, is_signed, place};
use crate::progress::{LINE_LIMIT, percent};
use crate::stop::{Stop, StopSignal};
use crate::upload;
use crate::urls::{Pace, UrlDesk};

/// What every assignment is carried out with.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The clients for files.
    pub http: Arc<Http>,
    /// How patient to be.
    pub pace: Pace,
    /// The folder of the container's control group.
    pub cgroup: PathBuf,
    /// The user and the group that the command runs as; none: the worker's own.
    pub runs_as: Option<u32>,
    /// Who ends what a command leaves behind.
    pub subreaper: Option<Subreaper>,
}

/// Carries `assignment` out to its end, whatever that is; tells how it ended, and the folder that it leaves behind.
/// `answers` are the URLs that it asks for, `stop` may end it early.
pub async fn carry_out(
    tools: Tools,
    assignment: Assignment,
    reporter: Reporter,
    answers: UnboundedReceiver<SignedUrls>,
    stop: watch::Receiver<Option<Stop>>,
) -> (Finished, Option<Folder>) {
    let started = Instant::now();
    let mut desk = UrlDesk::new(reporter.clone(), answers, tools.pace);
    let stop = StopSignal::new(stop, started, Duration::from_secs(assignment.timeout_seconds));
    let progress = Progress { phase: Phase::Downloading, percent: None, line: None };
    let mut course = Course {
        tools,
        stop,
        progress: Arc::new(watch::Sender::new(progress)),
        finished: Finished { seconds: 0.0, exit_code: None, outputs: Vec::new(), failure: None },
        assignment,
    };
    let period = Duration::from_secs(course.assignment.report_every_seconds.max(1));
    let heartbeats = heartbeats(reporter, course.progress.clone(), period);
    let folder = course.make_folder();
    let result = match &folder {
        Ok(folder) => select! {
            result = course.work(folder, &mut desk) => result,
            never = heartbeats => match never {},
        },
        Err(failure) => Err(failure.clone()),
    };
    let seconds = (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    (Finished { seconds, failure: result.err(), ..course.finished }, folder.ok())
}

/// Reports the progress at once and then every `period`.
async fn heartbeats(
    reporter: Reporter,
    progress: Arc<watch::Sender<Progress>>,
    period: Duration,
) -> Infallible {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = progress.borrow().clone();
        reporter.mention(News::Heartbeat(now)).await;
    }
}

/// An assignment under way.
struct Course {
    tools: Tools,
    assignment: Assignment,
    stop: StopSignal,
    progress: Arc<watch::Sender<Progress>>,
    /// What there is to report, as far as it is known.
    finished: Finished,
}

impl Course {
    fn make_folder(&self) -> Result<Folder, Failure> {
        self.check_names()?;
        Folder::create(self.tools.runs_as).map_err(|error| {
            disk_failure(Class::Internal, format!("the working folder could not be made: {error}"), &error)
        })
    }

    /// The worker relies on nobody else for where it reads and writes.
    fn check_names(&self) -> Result<(), Failure> {
        let Assignment { inputs, outputs, .. } = &self.assignment;
        let mut names = inputs.iter().map(|input| &input.file).chain(outputs);
        names.find(|name| !folder::is_inside(name)).map_or(Ok(()), |name| {
            let message = format!("the file name {:?} leads out of the working folder", shown(name));
            Err(Failure { class: Class::InvalidJob, message, output: None })
        })
    }

    async fn work(&mut self, folder: &Folder, desk: &mut UrlDesk) -> Result<(), Failure> {
        let stop = self.stop.clone();
        stop.guard(Phase::Downloading, self.download_all(folder, desk)).await?;
        self.run_command(folder).await?;
        stop.guard(Phase::Uploading, self.upload_all(folder, desk)).await
    }

    async fn download_all(&self, folder: &Folder, desk: &mut UrlDesk) -> Result<(), Failure> {
        let inputs = &self.assignment.inputs;
        for (i, input) in inputs.iter().enumerate() {
            let show = |done: u64, total: Option<u64>| {
                // All files count the same, since the sizes of the later ones are not known yet.
                let (done, total) = total.map_or((0, 1), |total| (done, total.max(1)));
                let done = (i as u64).saturating_mul(total).saturating_add(done);
                let total = (inputs.len() as u64).saturating_mul(total);
                show(&self.progress, Phase::Downloading, percent(done, total), &input.file);
            };
            show(0, None);
            let bytes = self.download(input, folder, desk, show).await?;
            info!(file = shown(&input.file), bytes, "input downloaded");
        }
        Ok(())
    }

    /// Brings one input into the folder and tells its size.
    async fn download(
        &self,
        input: &Download,
        folder: &Folder,
        desk: &mut UrlDesk,
        progress: impl Fn(u64, Option<u64>),
    ) -> Result<u64, Failure> {
        let http = &self.tools.http;
        let Download { file, url } = input;
        let unavailable = |trouble: &Trouble, from: &str| {
            let message = format!("the input {} could not be downloaded{from}: {trouble}", shown(file));
            match trouble {
                Trouble::Disk(error) => disk_failure(Class::InputUnavailable, message, error),
                _ => Failure { class: Class::InputUnavailable, message, output: None },
            }
        };
        let mut partial = folder
            .create_file(file)
            .map(Partial::new)
            .map_err(|error| unavailable(&Trouble::Disk(error), ""))?;
        let mut url = http.parse(url).map_err(|trouble| unavailable(&trouble, ""))?;
        let from = format!(" from {}", place(&url));
        let mut refused_at = None;
        loop {
            let cause = match download::fetch(http, &url, &mut partial, self.tries(), &progress).await {
                // A signature that brought something has expired since; one that brought nothing will never be good.
                Err(Trouble::Expired(cause))
                    if is_signed(&url) && refused_at.is_none_or(|bytes| partial.furthest() > bytes) =>
                {
                    cause
                }
                Err(trouble) => return Err(unavailable(&trouble, &from)),
                Ok(()) => return Ok(partial.bytes()),
            };
            refused_at = Some(partial.furthest());
            info!(file = shown(file), "signature refused, asking for a fresh one: {cause}");
            let no_answer = || Trouble::Definite(format!("{cause}, and no fresh URL came"));
            let fresh = desk.download(file).await.ok_or_else(|| unavailable(&no_answer(), &from))?;
            url = http.parse(&fresh).map_err(|trouble| unavailable(&trouble, ""))?;
        }
    }

    /// The tries of a transfer that begins now.
    fn tries(&self) -> Tries {
        Tries::new(self.tools.pace.backoff, self.stop.time_left())
    }

    async fn run_command(&mut self, folder: &Folder) -> Result<(), Failure> {
        let command = &self.assignment.command;
        let Some(program) = command.first() else {
            let message = "task.command is an empty list; it needs a program".to_owned();
            return Err(Failure { class: Class::InvalidJob, message, output: None });
        };
        self.progress.send_replace(Progress { phase: Phase::Running, percent: None, line: None });
        for output in &self.assignment.outputs {
            folder.create_parents(output).map_err(|error| {
                let message =
                    format!("the folder of the output {} could not be made: {error}", shown(output));
                disk_failure(Class::InvalidJob, message, &error)
            })?;
        }
        folder.hand_over().map_err(|error| {
            disk_failure(Class::Internal, format!("the inputs could not be handed over: {error}"), &error)
        })?;
        let (work, temporary) = (folder.work(), folder.temporary());
        let Tools { cgroup, runs_as, subreaper, .. } = &self.tools;
        let (stdout, (runs_as, subreaper)) = (io::stdout(), (*runs_as, *subreaper));
        let console = stdout.as_fd();
        let place = Place { work: &work, temporary: &temporary, runs_as, cgroup, free, subreaper, console };
        let ended = command::run(command, place, self.progress.clone(), &self.stop).await?;
        self.finished.exit_code = ended.status.code();
        info!(exit_code = ended.status.code(), "command ended");
        ended.verdict(program)
    }

    async fn upload_all(&mut self, folder: &Folder, desk: &mut UrlDesk) -> Result<(), Failure> {
        let files = measure(&self.assignment.outputs, folder)?;
        if files.is_empty() {
            return Ok(());
        }
        let total = files.iter().map(|file| file.bytes).sum();
        show(&self.progress, Phase::Uploading, Some(0.0), &files[0].file);
        let no_answer =
            || upload_failure("no URLs to upload the outputs came; see the log of handle-report".to_owned());
        let uploads = desk.uploads(&files).await.ok_or_else(no_answer)?;
        let mut before = 0;
        for (file, upload) in files.into_iter().zip(uploads) {
            let (progress, name) = (self.progress.clone(), file.file.clone());
            let show =
                move |sent: u64| show(&progress, Phase::Uploading, percent(before + sent, total), &name);
            self.upload(&file, &upload, folder, desk, show).await?;
            info!(file = shown(&file.file), bytes = file.bytes, "output uploaded");
            before += file.bytes;
            self.finished.outputs.push(file);
        }
        Ok(())
    }

    /// Brings one output to its place.
    async fn upload(
        &self,
        file: &FileSize,
        upload: &Upload,
        folder: &Folder,
        desk: &mut UrlDesk,
        progress: impl Fn(u64) + Clone + Send + Sync + 'static,
    ) -> Result<(), Failure> {
        let http = &self.tools.http;
        let opened = Cell::new(0);
        let open = || {
            opened.set(opened.get() + 1);
            folder.open_file(&file.file).map(|(file, _)| file)
        };
        let failure = |trouble: &Trouble| {
            upload_failure(format!("the output {} could not be uploaded: {trouble}", shown(&file.file)))
        };
        let mut upload = upload.clone();
        let mut was_refused = false;
        loop {
            opened.set(0);
            let progress = progress.clone();
            let cause = match upload::post(http, &upload, open, file.bytes, self.tries(), progress).await {
                // A signature that was good for a try that broke has expired since.
                Err(Trouble::Expired(cause)) if !was_refused || opened.get() > 1 => cause,
                // S3 may refuse a signature by closing the connection under the file.
                Err(Trouble::Transient(cause)) if !was_refused => cause,
                result => return result.map_err(|trouble| failure(&trouble)),
            };
            was_refused = true;
            info!(file = shown(&file.file), "upload refused, asking for a fresh signature: {cause}");
            let no_answer = || failure(&Trouble::Definite(format!("{cause}, and no fresh URL came")));
            upload = desk.uploads(slice::from_ref(file)).await.ok_or_else(no_answer)?.remove(0);
        }
    }
}

/// The sizes of `outputs`, all of which must be there and fit into one POST.
fn measure(outputs: &[String], folder: &Folder) -> Result<Vec<FileSize>, Failure> {
    let measure = |file: &String| {
        let (_, bytes) = folder.open_file(file).map_err(|error| {
            upload_failure(format!(
                "the command succeeded, but its output {} is not usable: {error}; the working folder holds {}",
                shown(file),
                folder.listing(),
            ))
        })?;
        if bytes > POST_LIMIT {
            // In tenths of S3's gigabytes of 2^30 bytes, rounded up.
            let tenths = (u128::from(bytes) * 10).div_ceil(1 << 30);
            return Err(upload_failure(format!(
                "the output {} has {}.{} GB ({bytes} bytes); S3 takes at most 5 GB in one POST; split it",
                shown(file),
                tenths / 10,
                tenths % 10,
            )));
        }
        Ok(FileSize { file: file.clone(), bytes })
    };
    outputs.iter().map(measure).collect()
}

fn show(progress: &watch::Sender<Progress>, phase: Phase, percent: Option<f64>, file: &str) {
    let line = shown(file).chars().take(LINE_LIMIT).collect();
    progress.send_replace(Progress { phase, percent, line: Some(line) });
}

fn upload_failure(message: String) -> Failure {
    Failure { class: Class::UploadFailed, message, output: None }
}

/// A full disk is a class of its own; `class` is for all else.
fn disk_failure(class: Class, message: String, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::StorageFull {
        let message = format!("{message}; raise container.storageGiB");
        return Failure { class: Class::DiskFull, message, output: None };
    }
    Failure { class, message, output: None }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_trouble_with_a_file() {
        for (errno, class) in [(Errno::ENOSPC, Class::DiskFull), (Errno::EIO, Class::InputUnavailable)] {
            let error = io::Error::from(errno);
            assert_eq!(disk_failure(Class::InputUnavailable, error.to_string(), &error).class, class);
        }
    }
}
