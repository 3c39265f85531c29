//! What a container can reach that has no NAT gateway: refuses what it cannot before anything has been created, and calls
//! registries by names that it can.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use mayfly_lambda::error::Error;
use mayfly_model::job::{Egress, Input, S3Uri};
use mayfly_model::shown::shown;
use url::{Host, Url};

/// The Regions in which Fargate runs in subnets that have IPv6 alone.
/// Source: ECS developer guide, "Amazon ECS task networking options for Fargate", IPv6-only, read in November 2026. A list that
/// is behind is what the stack's parameter is for.
const IPV6_REGIONS: [&str; 28] = [
    "af-south-1",
    "ap-east-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ca-central-1",
    "ca-west-1",
    "eu-central-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// The Regions in which a container calls ECS itself through endpoints of the job's too, which Mayfly does not make: those that
/// AWS has launched since December 23, 2023. The guide names the first; the others are by their launch.
/// Source: ECS developer guide, "Amazon ECS interface VPC endpoints", considerations, read in November 2026.
const ECS_ENDPOINT_REGIONS: [&str; 6] =
    ["ca-west-1", "ap-east-2", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "mx-central-1"];

/// Registries and servers that have no address of IPv6; so have those whose names end like this.
/// Source: GitHub has none (github.com/orgs/community/discussions/10539), and lscr.io leads to ghcr.io.
const IPV4_ONLY: [&str; 5] = ["ghcr.io", "lscr.io", "github.com", "githubusercontent.com", "github.io"];

/// The names of AWS's own hosts that are of the older kind end like this.
const AWS: [&str; 2] = ["amazonaws.com", "amazonaws.com.cn"];

/// ECR Public by its ordinary name, and by the one that has IPv6.
const ECR_PUBLIC: &str = "public.ecr.aws";
const ECR_PUBLIC_DUAL_STACK: &str = "ecr-public.aws.com";

/// What this is all about.
#[derive(Clone, Copy)]
pub struct WayOut<'a> {
    pub egress: Egress,
    pub region: &'a str,
    /// Whether IPv6 is taken for offered in each Region.
    pub ipv6_anywhere: bool,
}

impl WayOut<'_> {
    /// Refuses what the container cannot reach.
    pub fn check(
        self,
        image: &str,
        inputs: &[Input],
        secrets: &BTreeMap<String, String>,
        repository: &str,
    ) -> Result<(), Error> {
        let refused = match self.egress {
            Egress::Nat => Ok(()),
            Egress::Endpoints => {
                self.check_endpoints(image, inputs, repository).and_then(|()| self.check_secrets(secrets))
            }
            Egress::Ipv6 => self.check_ipv6(image, inputs, repository),
        };
        refused.map_err(Error::InvalidJob)
    }

    fn check_endpoints(self, image: &str, inputs: &[Input], repository: &str) -> Result<(), String> {
        let region = self.region;
        if ECS_ENDPOINT_REGIONS.contains(&region) {
            return Err(format!(
                "network.egress: given endpoints in {region}; allowed: in the Regions that AWS launched before December 23, \
                 2023, since in later ones a container needs endpoints of ECS besides; use nat or ipv6"
            ));
        }
        if ecr_account(image, region).is_none() {
            return Err(format!(
                "container.image: given {}; allowed: with network.egress endpoints an image in ECR in {region}, such as \
                 {repository}, since nothing leads to other registries; copy the image there \
                 with `mayfly image copy`",
                shown(image)
            ));
        }
        match external(inputs).next() {
            Some((field, from, _)) => Err(format!(
                "{field}: given {}; allowed: with network.egress endpoints s3://BUCKET/KEY, since nothing leads to the \
                 internet; put the file into one of the stack's buckets",
                shown(from)
            )),
            None => Ok(()),
        }
    }

    /// Of a secret nothing is shown but the name of its variable: what is given may be the secret itself.
    fn check_secrets(self, secrets: &BTreeMap<String, String>) -> Result<(), String> {
        let region = self.region;
        match secrets.iter().find(|(_, arn)| arn.split(':').nth(3) != Some(region)) {
            Some((name, _)) => Err(format!(
                "container.secrets.{name}: given an ARN of another Region; allowed: with network.egress endpoints one of \
                 {region}, since nothing leads to other Regions; copy the secret there"
            )),
            None => Ok(()),
        }
    }

    fn check_ipv6(self, image: &str, inputs: &[Input], repository: &str) -> Result<(), String> {
        let region = self.region;
        if !self.ipv6_anywhere && !IPV6_REGIONS.contains(&region) {
            return Err(format!(
                "network.egress: given ipv6 in {region}; allowed: in the Regions where AWS documents that Fargate runs in \
                 subnets of IPv6 alone; if it does by now, set the stack's parameter Ipv6InAnyRegion to true"
            ));
        }
        let by_ipv6 = self.image(image.to_owned());
        if host_of(&by_ipv6).is_some_and(|host| is_ipv4_only(host) || below_aws(host).is_some()) {
            return Err(format!(
                "container.image: given {}; allowed: with network.egress ipv6 an image of a registry that has IPv6, such as \
                 {repository}, ECR Public or Docker Hub; copy the image there with \
                 `mayfly image copy`",
                shown(image)
            ));
        }
        let is_s3 = |url: &Url| url.host_str().is_some_and(is_ipv4_only_s3);
        if let Some((field, from, _)) = external(inputs).find(|(_, _, url)| is_s3(url)) {
            return Err(format!(
                "{field}: given {}; allowed: with network.egress ipv6 an object of S3 as s3://BUCKET/KEY, or by S3's dual-stack \
                 host, such as BUCKET.s3.dualstack.{region}.amazonaws.com, since this one has no IPv6",
                shown(from)
            ));
        }
        let is_unreachable = |host: &Host<String>| match host {
            Host::Ipv4(_) => true,
            Host::Ipv6(_) => false,
            Host::Domain(name) => is_ipv4_only(name),
        };
        let unreachable = external(inputs)
            .find(|(_, _, url)| url.host().map(|host| host.to_owned()).as_ref().is_some_and(is_unreachable));
        match unreachable {
            Some((field, from, _)) => Err(format!(
                "{field}: given {}; allowed: with network.egress ipv6 a server that has IPv6, which this one has not; put \
                 the file into one of the stack's buckets",
                shown(from)
            )),
            None => Ok(()),
        }
    }

    /// The image by a name of its registry that the container can reach.
    /// Source: ECR user guide, "Making requests to Amazon ECR registries over IPv6".
    pub fn image(self, image: String) -> String {
        if self.egress != Egress::Ipv6 {
            return image;
        }
        let Some((host, rest)) = image.split_once('/') else { return image };
        if host == ECR_PUBLIC {
            return format!("{ECR_PUBLIC_DUAL_STACK}/{rest}");
        }
        match host.split('.').collect::<Vec<_>>().as_slice() {
            [account, "dkr", "ecr", region, "amazonaws", "com"] => {
                format!("{account}.dkr-ecr.{region}.on.aws/{rest}")
            }
            _ => image,
        }
    }
}

/// The account whose registry in this Region the image is in.
fn ecr_account<'a>(image: &'a str, region: &str) -> Option<&'a str> {
    let rest = host_of(image)?.strip_suffix(".cn").or(host_of(image))?;
    let account = rest.strip_suffix(&format!(".dkr.ecr.{region}.amazonaws.com"))?;
    (account.len() == 12 && account.bytes().all(|digit| digit.is_ascii_digit())).then_some(account)
}

/// The registry that an image names; one that names none is Docker Hub's.
/// Source: github.com/distribution/reference, `normalize.go`, read in November 2026.
fn host_of(image: &str) -> Option<&str> {
    let (host, _) = image.split_once('/')?;
    (host.contains(['.', ':']) || host == "localhost").then_some(host)
}

fn is_ipv4_only(host: &str) -> bool {
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).to_ascii_lowercase();
    let is_or_is_below =
        |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    host.parse::<Ipv4Addr>().is_ok() || IPV4_ONLY.into_iter().any(is_or_is_below)
}

/// What comes before AWS's own domain in a host's name, without the port; none where it is not AWS's.
fn below_aws(host: &str) -> Option<String> {
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).to_ascii_lowercase();
    AWS.iter().find_map(|domain| Some(host.strip_suffix(domain)?.strip_suffix('.')?.to_owned()))
}

/// Whether it is one of the hosts of S3 that are no dual-stack ones: `s3.REGION`, the older `s3-REGION` and `s3`, others of its
/// kind such as `s3-accelerate`, each also with the bucket before it.
/// Source: S3 user guide, "Using Amazon S3 dual-stack endpoints" and "Making requests to Amazon S3 over IPv6"; General
/// Reference, "Amazon S3 endpoints and quotas".
fn is_ipv4_only_s3(host: &str) -> bool {
    let is_s3 = |label: &str| label == "s3" || label.starts_with("s3-");
    let Some(name) = below_aws(host) else { return false };
    let mut labels = name.rsplit('.');
    let (last, next) = (labels.next().unwrap_or_default(), labels.next());
    last != "dualstack" && (is_s3(last) || next.is_some_and(is_s3))
}

/// The inputs that do not come from S3: the field, what it holds, and its URL.
fn external(inputs: &[Input]) -> impl Iterator<Item = (String, &str, Url)> {
    let external = inputs.iter().enumerate().filter(|(_, input)| S3Uri::parse(&input.from).is_none());
    external.filter_map(|(i, Input { from, .. })| {
        Some((format!("task.inputs[{i}].from"), from.as_str(), Url::parse(from).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/mayfly:latest";
    const REPOSITORY: &str = "the stack's repository";

    fn way(egress: Egress) -> WayOut<'static> {
        WayOut { egress, region: "eu-central-1", ipv6_anywhere: false }
    }

    fn refusal(egress: Egress, image: &str, inputs: &[&str]) -> Option<String> {
        let input = |from: &&str| Input { file: "in".into(), from: (*from).into() };
        let inputs: Vec<Input> = inputs.iter().map(input).collect();
        way(egress).check(image, &inputs, &BTreeMap::new(), REPOSITORY).err().map(|error| error.to_string())
    }

    #[test]
    fn endpoints_lead_to_images_in_ecr_of_the_region_alone() {
        assert_eq!(refusal(Egress::Endpoints, OWN, &["s3://videos/in.mp4"]), None);
        let other_region = "111122223333.dkr.ecr.us-east-1.amazonaws.com/mayfly";
        for image in [other_region, "busybox", "public.ecr.aws/docker/library/busybox:1", "ghcr.io/a/b"] {
            let refusal = refusal(Egress::Endpoints, image, &[]).expect(image);
            assert!(refusal.starts_with(&format!("container.image: given {image};")), "{refusal}");
            assert!(refusal.contains("copy the image there") && refusal.contains(REPOSITORY), "{refusal}");
        }
    }

    #[test]
    fn endpoints_lead_to_no_server_on_the_internet() {
        let inputs = ["s3://videos/in.mp4", "https://example.com/a?token=b"];
        let refusal = refusal(Egress::Endpoints, OWN, &inputs).expect("refused");
        assert!(refusal.starts_with("task.inputs[1].from: given https://example.com/a"), "{refusal}");
        assert!(refusal.contains("put the file into one of the stack's buckets"), "{refusal}");
    }

    #[test]
    fn ipv6_leads_to_no_server_that_is_known_to_have_none() {
        for image in [OWN, "busybox", "docker.io/library/busybox", "public.ecr.aws/a/b", "quay.io/a/b"] {
            assert_eq!(
                refusal(Egress::Ipv6, image, &["https://example.com/a", "https://[2001:db8::1]/a"]),
                None
            );
        }
        for image in [
            "ghcr.io/a/b:1",
            "lscr.io/linuxserver/ffmpeg",
            "192.0.2.1:5000/a",
            "111122223333.dkr.ecr-fips.us-east-1.amazonaws.com/a",
            "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/a",
        ] {
            let refusal = refusal(Egress::Ipv6, image, &[]).expect(image);
            assert!(
                refusal.contains(&format!("given {image};")) && refusal.contains("copy the image"),
                "{refusal}"
            );
        }
        for from in ["https://192.0.2.7/a", "https://GitHub.com/a", "https://raw.githubusercontent.com/a"] {
            let refusal = refusal(Egress::Ipv6, OWN, &[from]).expect(from);
            assert!(refusal.starts_with("task.inputs[0].from: given https://"), "{refusal}");
        }
        assert_eq!(refusal(Egress::Ipv6, OWN, &["https://notgithub.com/a"]), None);
    }

    #[test]
    fn ipv6_is_for_the_documented_regions_unless_the_stack_says_otherwise() {
        let there = WayOut { region: "eu-north-1", ..way(Egress::Ipv6) };
        let refusal = there.check(OWN, &[], &BTreeMap::new(), REPOSITORY).unwrap_err().to_string();
        assert!(refusal.contains("ipv6 in eu-north-1") && refusal.contains("Ipv6InAnyRegion"), "{refusal}");
        for fits in [WayOut { ipv6_anywhere: true, ..there }, WayOut { egress: Egress::Nat, ..there }] {
            assert!(fits.check(OWN, &[], &BTreeMap::new(), REPOSITORY).is_ok());
        }
    }

    #[test]
    fn endpoints_are_not_for_the_regions_where_ecs_needs_some_of_its_own() {
        let there = WayOut { region: "ca-west-1", ipv6_anywhere: true, ..way(Egress::Endpoints) };
        let image = "111122223333.dkr.ecr.ca-west-1.amazonaws.com/mayfly";
        let refusal = there.check(image, &[], &BTreeMap::new(), REPOSITORY).unwrap_err().to_string();
        assert!(
            refusal.contains("given endpoints in ca-west-1") && refusal.contains("use nat or ipv6"),
            "{refusal}"
        );
        assert!(
            WayOut { egress: Egress::Ipv6, ..there }.check(image, &[], &BTreeMap::new(), REPOSITORY).is_ok()
        );
    }

    #[test]
    fn endpoints_lead_to_secrets_of_the_region_alone_and_a_refusal_does_not_show_them() {
        let check = |egress, given: &str| {
            let secrets = BTreeMap::from([("PASSWORD".to_owned(), given.to_owned())]);
            way(egress).check(OWN, &[], &secrets, REPOSITORY).map_err(|error| error.to_string())
        };
        assert_eq!(
            check(Egress::Endpoints, "arn:aws:ssm:eu-central-1:111122223333:parameter/hunter2"),
            Ok(())
        );
        for other in ["arn:aws:ssm:us-east-1:111122223333:parameter/hunter2", "arn:hunter2:ssm:"] {
            let refusal = check(Egress::Endpoints, other).unwrap_err();
            assert!(
                refusal.starts_with("container.secrets.PASSWORD: given an ARN of another Region;"),
                "{refusal}"
            );
            assert!(!refusal.contains("hunter2"), "{refusal}");
            assert_eq!(check(Egress::Ipv6, other), Ok(()));
        }
    }

    #[test]
    fn ipv6_leads_to_s3_by_its_dual_stack_hosts_alone() {
        for host in [
            "s3.amazonaws.com",
            "videos.s3.amazonaws.com",
            "S3.eu-central-1.amazonaws.com",
            "my.videos.s3.eu-central-1.amazonaws.com",
            "videos.s3-eu-west-1.amazonaws.com",
            "videos.s3-accelerate.amazonaws.com",
            "videos.s3.cn-north-1.amazonaws.com.cn",
        ] {
            let refusal = refusal(Egress::Ipv6, OWN, &[&format!("https://{host}/in.mp4?sig=a")]).expect(host);
            assert!(
                refusal.contains("s3://BUCKET/KEY") && refusal.contains("s3.dualstack.eu-central-1"),
                "{refusal}"
            );
        }
        for host in [
            "videos.s3.dualstack.eu-central-1.amazonaws.com",
            "s3.dualstack.eu-central-1.amazonaws.com",
            "videos.s3-accelerate.dualstack.amazonaws.com",
            "s3-like.eu-central-1.elb.amazonaws.com",
            "s3.example.com",
        ] {
            assert_eq!(refusal(Egress::Ipv6, OWN, &[&format!("https://{host}/in.mp4")]), None, "{host}");
        }
    }

    #[test]
    fn with_ipv6_registries_are_called_by_their_dual_stack_hosts() {
        for (image, by) in [
            (OWN, "111122223333.dkr-ecr.eu-central-1.on.aws/mayfly:latest"),
            ("public.ecr.aws/docker/library/busybox:1", "ecr-public.aws.com/docker/library/busybox:1"),
            ("busybox:1", "busybox:1"),
            ("docker.io/library/busybox@sha256:0a", "docker.io/library/busybox@sha256:0a"),
        ] {
            assert_eq!(way(Egress::Ipv6).image(image.to_owned()), by);
            for other in [Egress::Nat, Egress::Endpoints] {
                assert_eq!(way(other).image(image.to_owned()), image);
            }
        }
    }
}
