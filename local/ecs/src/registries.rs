//! Where an image is pulled from, by the host in its reference, and what of it is to be reached.

use local_ec2::Server;

/// A registry of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registry {
    /// Private repositories of Amazon ECR, under their ordinary name or under that which has IPv6 addresses too: ECR User
    /// Guide, "Getting started with making requests over IPv6".
    Ecr { dual_stack: bool },
    /// Any other, and whether it has IPv6 addresses.
    Other { ipv6: bool },
}

/// The host of a reference without one: <https://pkg.go.dev/github.com/distribution/reference>
const DOCKER_HUB: &str = "docker.io";

/// Other registries that have IPv6 addresses: Docker Hub (docs.docker.com, "Docker Hub usage and limits", which counts by
/// IPv6 /64), and ECR Public under its second name, as others use it; under `public.ecr.aws` it had none
/// (aws/containers-roadmap#2526). GHCR, and lscr.io with it, has none; of others nothing is known, so none.
const WITH_IPV6: [&str; 3] = [DOCKER_HUB, "registry-1.docker.io", "ecr-public.aws.com"];

impl Registry {
    /// The registry of an image.
    pub fn of(image: &str) -> Self {
        let host = match image.split_once('/') {
            Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
            _ => DOCKER_HUB,
        };
        match host.split_once('.') {
            Some((_, rest)) if rest.starts_with("dkr.ecr.") => Self::Ecr { dual_stack: false },
            Some((_, rest)) if rest.starts_with("dkr-ecr.") => Self::Ecr { dual_stack: true },
            _ => Self::Other { ipv6: WITH_IPV6.contains(&host) },
        }
    }

    pub fn is_ecr(self) -> bool {
        matches!(self, Self::Ecr { .. })
    }

    /// What has the image's manifest.
    pub fn manifests(self) -> Server<'static> {
        match self {
            Self::Ecr { dual_stack } => Server::Aws { service: "ecr.dkr", dual_stack },
            Self::Other { ipv6 } => Server::Internet { ipv6 },
        }
    }

    /// What has its layers. ECR keeps them in S3: ECR User Guide, "Amazon ECR interface VPC endpoints", the gateway endpoint.
    pub fn layers(self) -> Server<'static> {
        match self {
            Self::Ecr { dual_stack } => Server::Aws { service: "s3", dual_stack },
            Self::Other { ipv6 } => Server::Internet { ipv6 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_known_by_its_host() {
        for (image, registry) in [
            ("1.dkr.ecr.eu-west-1.amazonaws.com/worker:latest", Registry::Ecr { dual_stack: false }),
            ("1.dkr-ecr.eu-west-1.on.aws/worker", Registry::Ecr { dual_stack: true }),
            ("public.ecr.aws/docker/library/nginx", Registry::Other { ipv6: false }),
            ("ecr-public.aws.com/docker/library/nginx", Registry::Other { ipv6: true }),
            ("nginx:alpine", Registry::Other { ipv6: true }),
            ("bitnami/nginx", Registry::Other { ipv6: true }),
            ("docker.io/library/nginx", Registry::Other { ipv6: true }),
            ("ghcr.io/a/b", Registry::Other { ipv6: false }),
            ("lscr.io/linuxserver/ffmpeg", Registry::Other { ipv6: false }),
            ("localhost:5000/a", Registry::Other { ipv6: false }),
        ] {
            assert_eq!(Registry::of(image), registry, "{image}");
        }
    }
}
