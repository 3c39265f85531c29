//! Carries out one assignment: downloads the inputs, runs the command, uploads the outputs, and sends heartbeats all the
//! way.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_model::class::Class;
use mayfly_model::job::Pattern;
use mayfly_model::message::{
    Assignment, Download, Failure, FileSize, Finished, FolderSize, Listed, News, OUTPUT_LIST, Order, Phase,
    Progress, Room, Upload,
};
use mayfly_model::parts::PARTS_FROM;
use mayfly_model::shown::shown;
use tokio::select;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Mutex, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

use crate::command::{self, Place};
use crate::deliver::Delivery;
use crate::descendants::Subreaper;
use crate::disk::{self, free};
use crate::done::Reporter;
use crate::download::{self, Partial};
use crate::environment::of_command;
use crate::fill::Filler;
use crate::folder::{self, Folder};
use crate::http::{Http, Tries, Trouble, is_signed, place};
use crate::list::OutputList;
use crate::listing::{Listing, unavailable};
use crate::log::Log;
use crate::measure::{self, Output, gigabytes, upload_failure};
use crate::program::{self, PATH, Places};
use crate::progress::{LINE_LIMIT, percent};
use crate::settings::Directory;
use crate::stop::{Stop, StopSignal};
use crate::urls::{Pace, UrlDesk};
use crate::user::User;
use crate::{parts, upload};

/// How long the last lines of the log may still take before it counts as truncated.
const LOG_TIME: Duration = Duration::from_secs(2);
/// How long the list of what was uploaded may still take when the rest has failed.
const LIST_TIME: Duration = Duration::from_secs(10);

/// What every assignment is carried out with.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The clients for files.
    pub http: Arc<Http>,
    /// How patient to be.
    pub pace: Pace,
    /// The folder of the container's control group.
    pub cgroup: PathBuf,
    /// The user that the command runs as; none: the worker's own. Or why there is no such user.
    pub user: Result<Option<User>, String>,
    /// Where each start has a folder of its own.
    pub folder: PathBuf,
    /// Where the command begins.
    pub directory: Directory,
    /// The worker's program.
    pub launcher: PathBuf,
    /// How long the command may take to end when the container is told to stop.
    pub stop_timeout: Duration,
    /// Who ends what a command leaves behind.
    pub subreaper: Option<Subreaper>,
    /// Where what a command prints goes.
    pub log: Log,
}

/// Carries `assignment` out to its end, whatever that is; tells how it ended, and the folder that it leaves behind.
/// `answers` are those to its questions, `stop` may end it early.
pub async fn carry_out(
    tools: Tools,
    assignment: Assignment,
    reporter: Reporter,
    answers: UnboundedReceiver<Order>,
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
        finished: Finished::default(),
        list: None,
        room: Room::default(),
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
    let log_truncated = !course.tools.log.is_whole(LOG_TIME).await;
    (Finished { seconds, failure: result.err(), log_truncated, ..course.finished }, folder.ok())
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
    /// What was uploaded, where the list of that is wanted.
    list: Option<OutputList>,
    /// How much room the report has left for names of files.
    room: Room,
}

impl Course {
    fn make_folder(&self) -> Result<Folder, Failure> {
        self.check_names()?;
        let invalid = |message: &String| {
            let message = format!("{message}; correct container.user");
            Failure { class: Class::InvalidJob, message, output: None }
        };
        let user = self.tools.user.as_ref().map_err(invalid)?;
        Folder::create(&self.tools.folder, user.as_ref()).map_err(|error| {
            disk::failure(Class::Internal, format!("the working folder could not be made: {error}"), &error)
        })
    }

    /// The worker relies on nobody else for where it reads and writes.
    fn check_names(&self) -> Result<(), Failure> {
        let Assignment { inputs, input_folders, outputs, .. } = &self.assignment;
        let mut names = inputs.iter().map(|input| &input.file).chain(input_folders).chain(outputs);
        names.find(|name| !folder::is_inside(name)).map_or(Ok(()), |name| {
            let message = format!("the file name {:?} leads out of the working folder", shown(name));
            Err(Failure { class: Class::InvalidJob, message, output: None })
        })
    }

    async fn work(&mut self, folder: &Folder, desk: &mut UrlDesk) -> Result<(), Failure> {
        let stop = self.stop.clone();
        let program = self.find_program(folder)?;
        stop.guard(Phase::Downloading, self.download_all(folder, desk)).await?;
        self.run_command(&program, folder).await?;
        let uploaded = stop.guard(Phase::Uploading, self.upload_all(folder, desk)).await;
        match &uploaded {
            Ok(()) => stop.guard(Phase::Uploading, self.upload_list(desk)).await,
            // What is there all the same is told, unless another start will do it again.
            Err(Failure { class: Class::UploadFailed | Class::TimedOut | Class::DiskFull, .. }) => {
                if let Ok(Err(failure)) = timeout(LIST_TIME, self.upload_list(desk)).await {
                    warn!("{}", failure.message);
                }
                uploaded
            }
            Err(_) => uploaded,
        }
    }

    /// Finds the command's program and where it begins before anything is downloaded for it.
    fn find_program(&self, folder: &Folder) -> Result<PathBuf, Failure> {
        let Assignment { command, inputs, .. } = &self.assignment;
        let Some(program) = command.first() else {
            let message = "task.command is an empty list; it needs a program".to_owned();
            return Err(Failure { class: Class::InvalidJob, message, output: None });
        };
        let (work, path) = (folder.work(), of_command().remove(OsStr::new("PATH")));
        let path = path.unwrap_or_else(|| PATH.into());
        let image = env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let inputs: Vec<_> = inputs.iter().map(|input| input.file.as_str()).collect();
        let places = Places { path: &path.to_string_lossy(), image: &image, work: &work, inputs: &inputs };
        let program = program::find(program, places)?;
        match &self.tools.directory {
            Directory::Of(directory) if !directory.is_dir() => {
                let directory = directory.display().to_string();
                let message = format!(
                    "the image has no folder {}, in which the command is to begin; correct container.workingDirectory",
                    shown(&directory)
                );
                Err(Failure { class: Class::CommandFailed, message, output: None })
            }
            _ => Ok(program),
        }
    }

    async fn download_all(&self, folder: &Folder, desk: &mut UrlDesk) -> Result<(), Failure> {
        let listings = self.list_all(folder, desk).await?;
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
        for listing in listings {
            let (total, objects, name) = (listing.bytes(), listing.items.len(), listing.folder.clone());
            let progress = |file: &str, arrived: u64| {
                show(&self.progress, Phase::Downloading, percent(arrived, total), file);
            };
            let filler = Filler {
                http: &self.tools.http,
                folder,
                desk: Mutex::new(&mut *desk),
                listing: RefCell::new(listing),
                tries: || self.tries(),
                progress,
            };
            Box::pin(filler.fill()).await?;
            info!(folder = shown(&name), objects, bytes = total, "input downloaded");
        }
        Ok(())
    }

    /// What the inputs are made of that are folders, all of which must have room.
    async fn list_all(&self, folder: &Folder, desk: &mut UrlDesk) -> Result<Vec<Listing>, Failure> {
        let mut listings = Vec::new();
        let mut room = free(&folder.work()).unwrap_or(u64::MAX);
        for name in &self.assignment.input_folders {
            show(&self.progress, Phase::Downloading, None, name);
            let listing = Listing::read(desk, name).await?;
            let bytes = listing.bytes();
            room = room.checked_sub(bytes).ok_or_else(|| {
                let (needed, room) = (gigabytes(bytes), gigabytes(room));
                let why =
                    format!("it has {needed}, and the disk has room for {room}; raise container.storageGiB");
                unavailable(name, &why)
            })?;
            listings.push(listing);
        }
        Ok(listings)
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
                Trouble::Disk(error) => disk::failure(Class::InputUnavailable, message, error),
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

    async fn run_command(&mut self, program: &Path, folder: &Folder) -> Result<(), Failure> {
        self.progress.send_replace(Progress { phase: Phase::Running, percent: None, line: None });
        for output in &self.assignment.outputs {
            let made = match Pattern::parse(output).map(|pattern| pattern.folder()) {
                Some("") => Ok(()),
                Some(named) => folder.create_folder(named),
                None => folder.create_parents(output),
            };
            made.map_err(|error| {
                let message =
                    format!("the folder of the output {} could not be made: {error}", shown(output));
                disk::failure(Class::InvalidJob, message, &error)
            })?;
        }
        folder.hand_over().map_err(|error| {
            disk::failure(Class::Internal, format!("the inputs could not be handed over: {error}"), &error)
        })?;
        let (work, temporary) = (folder.work(), folder.temporary());
        let Tools { cgroup, user, directory, launcher, stop_timeout, subreaper, log, .. } = &self.tools;
        let image = env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let directory = match directory {
            Directory::Files => &work,
            Directory::Image => &image,
            Directory::Of(directory) => directory,
        };
        let place = Place {
            directory,
            work: &work,
            temporary: &temporary,
            user: user.as_ref().ok().and_then(Option::as_ref),
            launcher,
            stop_timeout: *stop_timeout,
            cgroup,
            free,
            subreaper: *subreaper,
            log,
        };
        let command = &self.assignment.command;
        let ended = command::run(program, command, place, self.progress.clone(), &self.stop).await?;
        self.finished.exit_code = ended.status.code();
        info!(exit_code = ended.status.code(), "command ended");
        ended.verdict(&command[0])
    }

    async fn upload_all(&mut self, folder: &Folder, desk: &mut UrlDesk) -> Result<(), Failure> {
        let outputs = measure::outputs(&self.assignment, folder)?;
        if self.assignment.lists_outputs {
            let list = folder.create_list().map_err(|error| list_failure(&Trouble::Disk(error)))?;
            self.list = Some(list);
        }
        let sizes: Vec<FileSize> = outputs.iter().map(Output::size).collect();
        let Some(first) = sizes.first() else { return Ok(()) };
        let total = sizes.iter().map(|size| size.bytes).sum();
        show(&self.progress, Phase::Uploading, Some(0.0), &first.file);
        let no_answer =
            || upload_failure("no URLs to upload the outputs came; see the log of handle-report".to_owned());
        let uploads = desk.uploads(&sizes).await.ok_or_else(no_answer)?;
        let (mut before, tools, stop) = (0, self.tools.clone(), self.stop.clone());
        for (i, output) in outputs.iter().enumerate() {
            let upload = &uploads[i];
            let progress = self.progress.clone();
            let show = move |file: &str, sent: u64| {
                show(&progress, Phase::Uploading, percent(before + sent, total), file);
            };
            match output {
                Output::File(file) => self.upload_file(file, upload, folder, desk, show).await?,
                Output::Files { below, files, .. } => {
                    // Of patterns with one place the first that names a file has taken it there.
                    let earlier =
                        sizes[..i].iter().zip(&uploads).filter(|(_, its)| is_same_place(its, upload));
                    let earlier: Vec<_> =
                        earlier.filter_map(|(size, _)| Pattern::parse(&size.file)).collect();
                    let is_taken =
                        |file: &FileSize| earlier.iter().any(|pattern| pattern.names(&file.file[*below..]));
                    let files: Vec<_> = files.iter().filter(|file| !is_taken(file)).cloned().collect();
                    let delivery = Delivery {
                        http: &tools.http,
                        folder,
                        desk: Mutex::new(&mut *desk),
                        output: sizes[i].clone(),
                        below: *below,
                        form: RefCell::new((0, Arc::new(upload.clone()))),
                        tries: || Tries::new(tools.pace.backoff, stop.time_left()),
                        progress: show,
                    };
                    self.upload_files(&files, delivery).await?;
                }
            }
            before += sizes[i].bytes;
        }
        Ok(())
    }

    /// Brings an output that is one file to its place.
    async fn upload_file(
        &mut self,
        file: &FileSize,
        upload: &Upload,
        folder: &Folder,
        desk: &mut UrlDesk,
        progress: impl Fn(&str, u64) + Clone + Send + Sync + 'static,
    ) -> Result<(), Failure> {
        let what = format!("the output {}", shown(&file.file));
        let open = || folder.open_file(&file.file).map(|(file, _)| file);
        let name = file.file.clone();
        let progress = move |sent| progress(&name, sent);
        let etag = if goes_in_parts(file) {
            let (http, tries) = (&self.tools.http, || self.tries());
            let mut course = parts::Course { http, desk, file, output: None, open, tries, progress };
            let uploaded = Box::pin(course.upload()).await;
            uploaded.map_err(|trouble| upload_failure(format!("{what} could not be uploaded: {trouble}")))?
        } else {
            self.upload(&what, file, upload, open, desk, progress).await?
        };
        info!(file = shown(&file.file), bytes = file.bytes, "output uploaded");
        if let Some(list) = &mut self.list {
            let key = upload.fields.get("key").cloned().unwrap_or_default();
            list.add(&Listed { file: file.file.clone(), key, bytes: file.bytes, etag });
        }
        self.finished.outputs.push(file.clone());
        Ok(())
    }

    /// Brings the files of an output that is a folder or a pattern to their places.
    async fn upload_files(
        &mut self,
        files: &[FileSize],
        delivery: Delivery<'_, impl Fn() -> Tries, impl Fn(&str, u64) + Clone + Send + Sync + 'static>,
    ) -> Result<(), Failure> {
        let Self { finished, list, room, .. } = self;
        let output = delivery.output.file.clone();
        // It is there from now on, so that what was uploaded is told whatever ends it.
        finished.folders.push(FolderSize { file: output.clone(), ..FolderSize::default() });
        let delivered = |listed: Listed| {
            if let Some(list) = list.as_mut() {
                list.add(&listed);
            }
            if let Some(folder) = finished.folders.last_mut() {
                folder.add(FileSize { file: listed.file, bytes: listed.bytes }, room);
            }
        };
        let delivered = Box::pin(delivery.deliver(files, delivered)).await;
        let there = finished.folders.last().map_or(0, |folder| folder.files);
        if let Err((file, trouble)) = delivered {
            return Err(upload_failure(format!(
                "the output {} could not be uploaded: {}: {trouble}; {there} of its {} files are in their places",
                shown(&output),
                shown(&file),
                files.len(),
            )));
        }
        info!(output = shown(&output), files = there, "output uploaded");
        Ok(())
    }

    /// Brings the list of what was uploaded to its place, where one is wanted.
    async fn upload_list(&mut self, desk: &mut UrlDesk) -> Result<(), Failure> {
        let Some(mut list) = self.list.take() else { return Ok(()) };
        let bytes = list.finish().map_err(|error| list_failure(&Trouble::Disk(error)))?;
        let size = FileSize { file: OUTPUT_LIST.to_owned(), bytes };
        let no_answer = || list_failure(&Trouble::Definite("no URL for it came".to_owned()));
        let upload = desk.uploads(slice::from_ref(&size)).await.ok_or_else(no_answer)?.remove(0);
        self.upload(LIST, &size, &upload, || list.open(), desk, |_| {}).await?;
        info!(bytes, "list of outputs uploaded");
        Ok(())
    }

    /// Brings `what`, one file, to its place, and tells the object's entity tag.
    async fn upload(
        &self,
        what: &str,
        file: &FileSize,
        upload: &Upload,
        open: impl Fn() -> io::Result<File>,
        desk: &mut UrlDesk,
        progress: impl Fn(u64) + Clone + Send + Sync + 'static,
    ) -> Result<Option<String>, Failure> {
        let http = &self.tools.http;
        let opened = Cell::new(0);
        let open = || {
            opened.set(opened.get() + 1);
            open()
        };
        let failure = |trouble: &Trouble| upload_failure(format!("{what} could not be uploaded: {trouble}"));
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
            info!("{what}: upload refused, asking for a fresh signature: {cause}");
            let no_answer = || failure(&Trouble::Definite(format!("{cause}, and no fresh URL came")));
            upload = desk.uploads(slice::from_ref(file)).await.ok_or_else(no_answer)?.remove(0);
        }
    }
}

/// Whether the file is too large for one request, or faster in several.
fn goes_in_parts(file: &FileSize) -> bool {
    file.bytes > PARTS_FROM
}

/// Whether the files of the two go to one place.
fn is_same_place(one: &Upload, other: &Upload) -> bool {
    one.url == other.url && one.fields.get("key") == other.fields.get("key")
}

/// The list of outputs, as messages name it.
const LIST: &str = "the list of outputs";

fn list_failure(trouble: &Trouble) -> Failure {
    upload_failure(format!("{LIST} could not be uploaded: {trouble}"))
}

fn show(progress: &watch::Sender<Progress>, phase: Phase, percent: Option<f64>, file: &str) {
    let line = shown(file).chars().take(LINE_LIMIT).collect();
    progress.send_replace(Progress { phase, percent, line: Some(line) });
}
