//! The job document that a command line says.

use std::collections::BTreeMap;
use std::num::ParseIntError;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use mayfly_model::job::read;
use serde_json::{Value, json};

/// The objects whose fields are named by people, who may use dots in them.
const NAMED_BY_PEOPLE: [&str; 3] = ["container.environment", "container.secrets", "tags"];

/// What a document can say. Units are those of the flags.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct Flags {
    /// The image to run [default: the stack's]
    #[arg(long)]
    image: Option<String>,
    /// A file to bring before the command runs, s3://BUCKET/KEY or an https URL; or a folder, s3://BUCKET/PREFIX/. Its name is the
    /// URI's last part if none is given
    #[arg(long = "in", value_name = "[FILE=]URI")]
    inputs: Vec<String>,
    /// A file to bring to s3://BUCKET/KEY when the command has succeeded; or a folder or a pattern, 'hls/*.ts=s3://BUCKET/PREFIX/'
    #[arg(long = "out", value_name = "[FILE=]URI")]
    outputs: Vec<String>,
    /// vCPUs, such as 0.5 or 2
    #[arg(long, visible_alias = "cpus", value_name = "N", value_parser = cpu_units)]
    cpu: Option<u32>,
    /// Memory, such as 512M or 4G; a G is 1024 M
    #[arg(long, value_name = "SIZE", value_parser = mebibytes)]
    memory: Option<u32>,
    /// Disk, such as 50G
    #[arg(long, value_name = "SIZE", value_parser = gibibytes)]
    storage: Option<u32>,
    /// The processor [default: the stack's]
    #[arg(long, value_enum, value_name = "PROCESSOR")]
    architecture: Option<Architecture>,
    /// Who the command runs as: USER or USER:GROUP, each a number or a name that the image knows
    #[arg(long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Where the command begins in the image, or `image` for the image's own [default: where its files are]
    #[arg(short, long = "workdir", value_name = "FOLDER")]
    workdir: Option<String>,
    /// The program that runs with the arguments after `--`
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Nothing can be written but where the command's files are, and in /tmp
    #[arg(long)]
    read_only: bool,
    /// How many seconds the command has when its container is told to stop
    #[arg(long, value_name = "SECONDS")]
    stop_timeout: Option<u32>,
    /// A limit of its processes, such as nofile=1024:65536
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// A variable of the command; NAME alone takes this shell's value
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// A variable whose value is in Secrets Manager or Parameter Store
    #[arg(long, value_name = "NAME=ARN")]
    secret: Vec<String>,
    /// The longest that an attempt may take, in whole minutes
    #[arg(long, value_name = "MINUTES")]
    timeout: Option<u32>,
    /// How often the job may be tried
    #[arg(long, value_name = "N")]
    attempts: Option<u32>,
    /// On Fargate [default: on Fargate Spot]
    #[arg(long)]
    on_demand: bool,
    /// On Fargate Spot
    #[arg(long)]
    spot: bool,
    /// On which of Fargate's capacities
    #[arg(long, value_enum, value_name = "CAPACITY")]
    capacity: Option<Capacity>,
    /// In which kind of network [default: public]
    #[arg(long, value_enum, value_name = "MODE")]
    network: Option<Network>,
    /// How a container in a private network reaches what is outside
    #[arg(long, value_enum, value_name = "EGRESS")]
    egress: Option<Egress>,
    /// A tag of everything that the job creates
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Vec<String>,
    /// Who submits the job; the tag `user`
    #[arg(long = "as", value_name = "NAME")]
    submitter: Option<String>,
    /// Any other field, or one of FILE's anew: JSON or a text, such as queueMinutes=30 or network.subnets[0]=subnet-0a
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// The command and its arguments, after `--`; no shell parses them
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// The document's `capacity`.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Capacity {
    Spot,
    OnDemand,
    SpotThenOnDemand,
}

/// The document's `container.architecture`.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Architecture {
    #[value(name = "X86_64")]
    X86_64,
    #[value(name = "ARM64")]
    Arm64,
}

/// The document's `network.mode`.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Network {
    Public,
    Existing,
    Private,
}

/// The document's `network.egress`.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Egress {
    Nat,
    Endpoints,
    Ipv6,
}

impl Flags {
    /// The image's name without its registry and its version, or the command's, for the job's name.
    pub fn stem(&self) -> &str {
        match (&self.image, self.command.first()) {
            (Some(image), _) => {
                let name = last_part(image);
                name.split([':', '@']).next().unwrap_or(name)
            }
            (None, Some(program)) => last_part(program),
            (None, None) => "job",
        }
    }

    /// Whether they say nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether they say something that only the command line may say.
    pub fn say_more_than_set(&self) -> bool {
        !Self { set: Vec::new(), ..self.clone() }.is_empty()
    }

    /// The document that the flags say.
    ///
    /// # Errors
    /// Where one of them cannot be read, or two contradict each other.
    pub fn document(&self) -> Result<Value> {
        let mut said = Said::default();
        said.say_if("--image", "container.image", self.image.as_deref())?;
        said.say_if("--cpu", "container.cpu", self.cpu)?;
        said.say_if("--memory", "container.memoryMiB", self.memory)?;
        said.say_if("--storage", "container.storageGiB", self.storage)?;
        said.say_if("--architecture", "container.architecture", self.architecture.as_ref().map(word))?;
        said.say_if("--user", "container.user", self.user.as_deref())?;
        said.say_if("--workdir", "container.workingDirectory", self.workdir.as_deref())?;
        said.say_if("--read-only", "container.readOnly", self.read_only.then_some(true))?;
        said.say_if("--stop-timeout", "container.stopTimeout", self.stop_timeout)?;
        for (index, limit) in self.ulimit.iter().enumerate() {
            said.say("--ulimit", &format!("container.ulimits[{index}]"), ulimit(limit)?)?;
        }
        for pair in &self.env {
            let (name, value) = match pair.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => (pair.as_str(), callers(pair)?),
            };
            said.say_named("--env", "container.environment", name, value)?;
        }
        for pair in &self.secret {
            let (name, arn) =
                pair.split_once('=').with_context(|| format!("--secret {pair}: say NAME=ARN"))?;
            said.say_named("--secret", "container.secrets", name, arn)?;
        }
        for (index, pair) in self.inputs.iter().enumerate() {
            let (file, from) = placed("--in", pair)?;
            said.say("--in", &format!("task.inputs[{index}]"), json!({ "file": file, "from": from }))?;
        }
        for (index, pair) in self.outputs.iter().enumerate() {
            let (file, to) = placed("--out", pair)?;
            said.say("--out", &format!("task.outputs[{index}]"), json!({ "file": file, "to": to }))?;
        }
        let command: Vec<_> = self.entrypoint.iter().chain(&self.command).cloned().collect();
        let said_by = if self.entrypoint.is_some() { "--entrypoint" } else { "the command after --" };
        said.say_if(said_by, "task.command", (!command.is_empty()).then_some(command))?;
        said.say_if("--timeout", "timeoutMinutes", self.timeout)?;
        said.say_if("--attempts", "attempts", self.attempts)?;
        said.say_if("--on-demand", "capacity", self.on_demand.then_some("on-demand"))?;
        said.say_if("--spot", "capacity", self.spot.then_some("spot"))?;
        said.say_if("--capacity", "capacity", self.capacity.as_ref().map(word))?;
        said.say_if("--network", "network.mode", self.network.as_ref().map(word))?;
        said.say_if("--egress", "network.egress", self.egress.as_ref().map(word))?;
        for pair in &self.tag {
            let (key, value) =
                pair.split_once('=').with_context(|| format!("--tag {pair}: say KEY=VALUE"))?;
            said.say_named("--tag", "tags", key, value)?;
        }
        said.say_if("--as", "user", self.submitter.as_deref())?;
        said.say_all(&self.set)?;
        if said.document.get("service").is_none() {
            // What the image runs by itself is a job too.
            let work = place(&mut said.document, &[Step::Field("task")])?;
            if work.is_null() {
                *work = json!({});
            }
        }
        Ok(said.document)
    }

    /// `document`, which comes from a file, with what `--set` says in place of what it says itself.
    ///
    /// # Errors
    /// Where one of them cannot be read, two contradict each other, or the document has no such place.
    pub fn changed(&self, document: Value) -> Result<Value> {
        let mut said = Said { document, ..Said::default() };
        said.say_all(&self.set)?;
        Ok(said.document)
    }
}

/// A document, and which flag has said what of it.
#[derive(Debug)]
struct Said {
    document: Value,
    by: BTreeMap<String, String>,
}

impl Default for Said {
    fn default() -> Self {
        Self { document: json!({}), by: BTreeMap::new() }
    }
}

impl Said {
    fn say_if(&mut self, flag: &str, path: &str, value: Option<impl Into<Value>>) -> Result<()> {
        value.map_or(Ok(()), |value| self.say(flag, path, value.into()))
    }

    /// Says what `name` is in `object`, one of [`NAMED_BY_PEOPLE`].
    fn say_named(&mut self, flag: &str, object: &str, name: &str, value: impl Into<Value>) -> Result<()> {
        ensure!(!name.is_empty(), "{flag}: a name before the =");
        self.say(flag, &format!("{object}.{name}"), value.into())
    }

    fn say_all(&mut self, set: &[String]) -> Result<()> {
        for pair in set {
            let (path, value) =
                pair.split_once('=').with_context(|| format!("--set {pair}: say PATH=VALUE"))?;
            // What is no JSON is a text, so that no shell has to be given two kinds of quotes.
            let value = read(value).unwrap_or_else(|_| value.into());
            self.say("--set", path, value)?;
        }
        Ok(())
    }

    /// Says that `path` is `value`.
    fn say(&mut self, flag: &str, path: &str, value: Value) -> Result<()> {
        let is_within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        if let Some((known, by)) =
            self.by.iter().find(|(known, _)| is_within(path, known) || is_within(known, path))
        {
            bail!("{flag} says what {path} is, and {by} has said what {known} is: leave one of them out");
        }
        let place = steps(path).and_then(|steps| place(&mut self.document, &steps));
        *place.with_context(|| format!("{flag} {path}"))? = value;
        self.by.insert(path.to_owned(), flag.to_owned());
        Ok(())
    }
}

/// One part of a path.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

/// The parts of `task.inputs[0].file`, as errors of documents name a field.
fn steps(path: &str) -> Result<Vec<Step<'_>>> {
    let named = NAMED_BY_PEOPLE.iter().find_map(|object| {
        let name = path.strip_prefix(object)?.strip_prefix('.')?;
        Some((*object, name))
    });
    let (fields, name) = named.map_or((path, None), |(object, name)| (object, Some(name)));
    let mut steps = Vec::new();
    for field in fields.split('.') {
        let (field, mut items) = field.split_at(field.find('[').unwrap_or(field.len()));
        ensure!(!field.is_empty(), "a path such as container.cpu or task.inputs[0].file");
        steps.push(Step::Field(field));
        while let Some(rest) = items.strip_prefix('[') {
            let (index, rest) = rest.split_once(']').context("a list's item is [0], [1] …")?;
            steps.push(Step::Item(index.parse().context("a list's item is [0], [1] …")?));
            items = rest;
        }
        ensure!(items.is_empty(), "a path such as container.cpu or task.inputs[0].file");
    }
    steps.extend(name.map(Step::Field));
    Ok(steps)
}

/// The place in `document` to which `steps` lead, made where it is not there; an item of a list may be the next one.
fn place<'a>(document: &'a mut Value, steps: &[Step<'_>]) -> Result<&'a mut Value> {
    let mut place = document;
    for step in steps {
        place = match step {
            Step::Field(field) => {
                if place.is_null() {
                    *place = json!({});
                }
                place
                    .as_object_mut()
                    .context("what is before it is no object")?
                    .entry(*field)
                    .or_insert(Value::Null)
            }
            Step::Item(index) => {
                if place.is_null() {
                    *place = json!([]);
                }
                let list = place.as_array_mut().context("what is before it is no list")?;
                ensure!(
                    *index <= list.len(),
                    "the list has {} items, so the next is [{}]",
                    list.len(),
                    list.len()
                );
                if *index == list.len() {
                    list.push(Value::Null);
                }
                &mut list[*index]
            }
        };
    }
    Ok(place)
}

/// `[FILE=]URI`: a key and a URL may have a `=` too, a file's name before it has none.
fn placed<'a>(flag: &str, pair: &'a str) -> Result<(&'a str, &'a str)> {
    let scheme = pair.find("://").with_context(|| format!("{flag} {pair}: say [FILE=]s3://BUCKET/KEY"))?;
    if let Some(equals) = pair[..scheme].find('=') {
        return Ok((&pair[..equals], &pair[equals + 1..]));
    }
    let path = pair[scheme + 3..].split(['?', '#']).next().unwrap_or_default();
    // A folder's name keeps its slash; a bucket's is none.
    let named = if pair.starts_with("s3://") { path.strip_suffix('/').unwrap_or(path) } else { path };
    let file = named.rfind('/').map_or("", |slash| &path[slash + 1..]);
    ensure!(!file.is_empty(), "{flag} {pair}: its last part is no file's name; say FILE={pair}");
    Ok((file, pair))
}

/// `NAME=SOFT[:HARD]`, as Docker takes a limit.
fn ulimit(text: &str) -> Result<Value> {
    let problem = || format!("--ulimit {text}: say NAME=SOFT[:HARD], such as nofile=1024:65536");
    let (name, limits) = text.split_once('=').with_context(problem)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| text.parse::<u32>().with_context(problem);
    Ok(json!({ "name": name, "softLimit": number(soft)?, "hardLimit": number(hard)? }))
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What this shell's variable `name` is.
fn callers(name: &str) -> Result<String> {
    std::env::var(name)
        .with_context(|| format!("--env {name}: this shell has no such variable; say {name}=VALUE"))
}

fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn cpu_units(text: &str) -> Result<u32, String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let scale = u32::try_from(fraction.len()).ok().and_then(|digits| 10_u64.checked_pow(digits));
    let digits =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let units = digits(whole).zip(digits(fraction)).zip(scale).and_then(
        |((whole, fraction), scale): ((u64, u64), _)| {
            let scaled = whole.checked_mul(scale)?.checked_add(fraction)?.checked_mul(1024)?;
            (scaled > 0 && scaled % scale == 0).then(|| u32::try_from(scaled / scale).ok()).flatten()
        },
    );
    units.ok_or_else(|| "a number of vCPUs, such as 0.25, 0.5, 1, 2 or 4".to_owned())
}

fn mebibytes(text: &str) -> Result<u32, String> {
    let wrong = || "a whole number and M or G, such as 512M or 4G".to_owned();
    let (number, unit) = sized(text).map_err(|_| wrong())?;
    match unit.as_str() {
        "m" | "mib" => Some(number),
        "g" | "gib" => number.checked_mul(1024),
        _ => None,
    }
    .ok_or_else(wrong)
}

fn gibibytes(text: &str) -> Result<u32, String> {
    let wrong = || "a whole number and G, such as 50G".to_owned();
    match sized(text) {
        Ok((number, unit)) if matches!(unit.as_str(), "g" | "gib") => Ok(number),
        _ => Err(wrong()),
    }
}

/// A number and its unit, in small letters.
fn sized(text: &str) -> Result<(u32, String), ParseIntError> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    Ok((number.parse()?, unit.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn document(words: &[&str]) -> Result<Value, String> {
        let line = Line::try_parse_from([&["run"], words].concat()).map_err(|error| error.to_string())?;
        line.flags.document().map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn every_flag_says_what_its_field_does() {
        let said = document(&[
            "--image",
            "ffmpeg:7",
            "--in",
            "s3://b/in/a=1.mp4",
            "--in",
            "b.mp4=https://e.org/x?y=z",
            "--out",
            "out=1/c.mp4=s3://b/c.mp4",
            "--cpus",
            "0.5",
            "--memory",
            "4G",
            "--storage",
            "50GiB",
            "--architecture",
            "ARM64",
            "--user",
            "1000:app",
            "-w",
            "image",
            "--read-only",
            "--stop-timeout",
            "90",
            "--ulimit",
            "nofile=1024:65536",
            "-e",
            "A=b=c",
            "-e",
            "a.b=",
            "--secret",
            "KEY=arn:aws:ssm:::parameter/key",
            "--timeout",
            "120",
            "--attempts",
            "3",
            "--on-demand",
            "--network",
            "private",
            "--egress",
            "ipv6",
            "--tag",
            "cost.center=4711",
            "--as",
            "ada",
            "--set",
            "queueMinutes=30",
            "--set",
            "network.egressPorts[0]=443",
            "--set",
            "network.egressPorts[1]=5432",
            "--",
            "ffmpeg",
            "-i",
            "a.mp4",
        ]);
        let expected = json!({
            "container": { "image": "ffmpeg:7", "cpu": 512, "memoryMiB": 4096, "storageGiB": 50,
                           "architecture": "ARM64", "user": "1000:app", "workingDirectory": "image",
                           "readOnly": true, "stopTimeout": 90,
                           "ulimits": [{ "name": "nofile", "softLimit": 1024, "hardLimit": 65536 }],
                           "environment": { "A": "b=c", "a.b": "" }, "secrets": { "KEY": "arn:aws:ssm:::parameter/key" } },
            "task": { "inputs": [{ "file": "a=1.mp4", "from": "s3://b/in/a=1.mp4" },
                                 { "file": "b.mp4", "from": "https://e.org/x?y=z" }],
                      "outputs": [{ "file": "out", "to": "1/c.mp4=s3://b/c.mp4" }],
                      "command": ["ffmpeg", "-i", "a.mp4"] },
            "timeoutMinutes": 120, "attempts": 3, "capacity": "on-demand",
            "network": { "mode": "private", "egress": "ipv6", "egressPorts": [443, 5432] },
            "tags": { "cost.center": "4711" }, "user": "ada", "queueMinutes": 30,
        });
        assert_eq!(said, Ok(expected));
    }

    #[test]
    fn a_folder_is_named_with_its_slash() {
        let said = document(&[
            "--in",
            "s3://b/raw/frames/",
            "--in",
            "more/=s3://b/more-frames/",
            "--out",
            "s3://b/show/",
            "--out",
            "hls/*.ts=s3://b/ts/",
        ])
        .unwrap();
        let inputs = json!([
            { "file": "frames/", "from": "s3://b/raw/frames/" },
            { "file": "more/", "from": "s3://b/more-frames/" },
        ]);
        let outputs = json!([
            { "file": "show/", "to": "s3://b/show/" }, { "file": "hls/*.ts", "to": "s3://b/ts/" },
        ]);
        assert_eq!((&said["task"]["inputs"], &said["task"]["outputs"]), (&inputs, &outputs));
        assert!(document(&["--in", "https://e.org/a/"]).unwrap_err().contains("say FILE=https://e.org/a/"));
    }

    #[test]
    fn an_entry_point_comes_before_the_arguments_and_an_image_alone_is_a_job() {
        let said = document(&["--image", "alpine", "--entrypoint", "wc", "--", "-l"]);
        let expected = json!({ "container": { "image": "alpine" }, "task": { "command": ["wc", "-l"] } });
        assert_eq!(said, Ok(expected));
        let own = document(&["--image", "alpine"]);
        assert_eq!(own, Ok(json!({ "container": { "image": "alpine" }, "task": {} })));
        let twice = document(&["--entrypoint", "wc", "--set", "task.command=[]"]).unwrap_err();
        assert!(twice.contains("--entrypoint has said what task.command is"), "{twice}");
    }

    #[test]
    fn a_variable_without_a_value_takes_this_shells() {
        let path = std::env::var("PATH").unwrap();
        assert_eq!(document(&["-e", "PATH"]).unwrap()["container"]["environment"]["PATH"], path);
        assert!(document(&["-e", "NOBODY_HAS_SET_THIS"]).unwrap_err().contains("NOBODY_HAS_SET_THIS=VALUE"));
    }

    #[test]
    fn what_contradicts_something_is_refused_whatever_comes_last() {
        for (words, told) in [
            (&["--spot", "--on-demand"][..], "--spot says what capacity is, and --on-demand has said"),
            (
                &["--capacity", "spot", "--set", "capacity=spot"],
                "--set says what capacity is, and --capacity",
            ),
            (
                &["--cpu", "1", "--set", "container={}"],
                "--set says what container is, and --cpu has said what container.cpu",
            ),
            (&["--set", "tags=1", "--tag", "a=b"], "--set says what tags is, and --tag"),
            (&["-e", "A=1", "-e", "A=2"], "--env says what container.environment.A is"),
            (
                &["--set", "task.command=[]", "--", "true"],
                "--set says what task.command is, and the command after --",
            ),
        ] {
            let error = document(words).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_what_may_be_said() {
        for (words, told) in [
            (&["--cpu", "0.3"][..], "0.25, 0.5, 1, 2"),
            (&["--cpu", "0"], "0.25, 0.5, 1, 2"),
            (&["--memory", "4096"], "512M or 4G"),
            (&["--memory", "4.5G"], "512M or 4G"),
            (&["--storage", "50M"], "50G"),
            (&["--timeout", "90s"], "invalid digit"),
            (&["--in", "a.mp4"], "say [FILE=]s3://BUCKET/KEY"),
            (&["--out", "s3://b/"], "say FILE=s3://b/"),
            (&["--tag", "a"], "say KEY=VALUE"),
            (&["--set", "task.inputs[1].file=a"], "the next is [0]"),
            (&["--set", "task..a=1"], "a path such as"),
            (&["--set", "task[x]=1"], "a list's item is [0]"),
            (&["--set", "timeoutMinutes=1", "--set", "timeoutMinutes.a=1"], "has said what timeoutMinutes"),
        ] {
            let error = document(words).unwrap_err();
            assert!(error.contains(told), "{words:?}: {error}");
        }
    }

    #[test]
    fn a_document_of_a_file_is_changed_where_it_is_said() {
        let line = ["run", "--set", "task.outputs[0].to=s3://b/d", "--set", "attempts=1"];
        let flags = Line::try_parse_from(line).unwrap().flags;
        let document = json!({ "attempts": 3, "task": { "command": ["true"], "outputs": [{ "file": "c", "to": "s3://b/c" }] } });
        let expected = json!({ "attempts": 1, "task": { "command": ["true"], "outputs": [{ "file": "c", "to": "s3://b/d" }] } });
        assert_eq!(flags.changed(document).unwrap(), expected);
    }

    #[test]
    fn a_job_is_named_after_its_image_or_its_program() {
        let stem = |words: &[&str]| {
            Line::try_parse_from([&["run"], words].concat()).unwrap().flags.stem().to_owned()
        };
        assert_eq!(stem(&["--image", "ghcr.io:443/a/tool:2@sha256:0a", "--", "sh"]), "tool");
        assert_eq!(stem(&["--", "/usr/bin/ffmpeg", "-i"]), "ffmpeg");
        assert_eq!(stem(&["--set", "task.command=[\"true\"]"]), "job");
    }
}
