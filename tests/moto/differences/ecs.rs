//! Where moto's ECS and ours are to differ.

use super::{CRASH, Meant, Names, ends, given, left_out};

/// The calls that answer with a task definition.
const DEFINING: Names = &[
    "DeleteTaskDefinitions",
    "DeregisterTaskDefinition",
    "DescribeTaskDefinition",
    "RegisterTaskDefinition",
];

/// The calls that make a cluster or delete it.
const CLUSTERING: Names = &["CreateCluster", "DeleteCluster"];

/// The calls that answer with a service.
const SERVING: Names = &["CreateService", "DeleteService", "DescribeServices"];

/// The calls that answer with a task.
const TASKING: Names = &["DescribeTasks", "StopTask"];

pub const MEANT: &[Meant] = &[
    // Clusters.
    given(
        &["DescribeClusters"],
        &[
            "/clusters[]/defaultCapacityProviderStrategy",
            "/clusters[]/defaultCapacityProviderStrategy[]/base",
            "/clusters[]/statistics",
        ],
        "ECS API Reference, DescribeClusters, the example; CapacityProviderStrategyItem, base: 0 by default",
    ),
    left_out(
        &["DescribeClusters"],
        &["/clusters[]/settings[]"],
        "ECS API Reference, DescribeClusters, include: the settings only where SETTINGS is given",
    ),
    Meant {
        operations: &["DescribeClusters"],
        case: "the default one, which is not there",
        at: &["/failures", "/failures[]", "/failures/0/reason"],
        moto: "*",
        ours: "*",
        source: "ECS API Reference, DescribeClusters, clusters: without any the default one; API failure reasons",
    },
    Meant {
        operations: &["DescribeClusters"],
        case: "with a task",
        at: &["/clusters/0/activeServicesCount"],
        moto: "0",
        ours: "1",
        source: "ECS API Reference, Cluster, activeServicesCount",
    },
    given(
        CLUSTERING,
        &["/cluster/defaultCapacityProviderStrategy", "/cluster/statistics"],
        "ECS API Reference, Cluster",
    ),
    left_out(
        &["DeleteCluster"],
        &["/cluster/tags"],
        "ECS API Reference, DescribeClusters, include: tags only where TAGS is given",
    ),
    Meant {
        operations: CLUSTERING,
        case: "a job's",
        at: &["/cluster/status"],
        moto: "*",
        ours: "\"*PROVISIONING\"",
        source: "ECS API Reference, Cluster, status: while the capacity providers are attached or detached",
    },
    ends(
        &["CreateCluster"],
        "a name with a space",
        "200",
        "400 InvalidParameterException",
        "ECS API Reference, CreateCluster, clusterName",
    ),
    ends(
        &["CreateCluster"],
        "capacity that does not exist",
        "200",
        "400 InvalidParameterException",
        "ECS API Reference, CreateCluster, capacityProviders: must be created first",
    ),
    ends(
        &["ListClusters"],
        "a page too big",
        "200",
        "400 InvalidParameterException",
        "ECS API Reference, ListClusters, maxResults: between 1 and 100",
    ),
    // Task definitions.
    given(
        DEFINING,
        &[
            "/taskDefinition*/containerDefinitions[]/systemControls",
            "/taskDefinition*/registeredAt",
            "/taskDefinition*/registeredBy",
        ],
        "ECS API Reference, TaskDefinition and ContainerDefinition",
    ),
    given(
        &["DeleteTaskDefinitions", "DeregisterTaskDefinition", "DescribeTaskDefinition"],
        &["/taskDefinition*/deregisteredAt", "/taskDefinitions[]/deleteRequestedAt"],
        "ECS API Reference, TaskDefinition",
    ),
    given(
        &["RegisterTaskDefinition"],
        &["/tags"],
        "ECS API Reference, RegisterTaskDefinition, Response Elements",
    ),
    ends(
        &["RegisterTaskDefinition"],
        "a network mode that Fargate has not",
        "200",
        "400 ClientException",
        "ECS API Reference, TaskDefinition, networkMode: awsvpc for Fargate",
    ),
    ends(
        &["RegisterTaskDefinition"],
        "a size that Fargate has not",
        "200",
        "400 ClientException",
        "ECS API Reference, TaskDefinition, cpu and memory",
    ),
    ends(
        &["RegisterTaskDefinition"],
        "too little storage",
        "200",
        "400 ClientException",
        "ECS API Reference, EphemeralStorage, sizeInGiB: at least 21",
    ),
    ends(
        &["RegisterTaskDefinition"],
        "a family with a space",
        "200",
        "400 ClientException",
        "ECS API Reference, RegisterTaskDefinition, family",
    ),
    ends(
        &["RegisterTaskDefinition"],
        "no container",
        "200",
        "400 ClientException",
        "ECS API Reference, RegisterTaskDefinition, containerDefinitions: required",
    ),
    ends(
        &["DescribeTaskDefinition"],
        "a revision that is none",
        CRASH,
        "400 ClientException",
        "ECS API Reference, DescribeTaskDefinition, Errors",
    ),
    ends(
        &["ListTaskDefinitions"],
        "a page too big",
        "200",
        "400 InvalidParameterException",
        "ECS API Reference, ListTaskDefinitions, maxResults: between 1 and 100",
    ),
    ends(
        &["ListTaskDefinitions"],
        "a token that is none",
        "200",
        "400 InvalidParameterException",
        "ECS API Reference, ListTaskDefinitions, nextToken",
    ),
    Meant {
        operations: &["ListTaskDefinitions"],
        case: "the first page",
        at: &["/nextToken", "/taskDefinitionArns"],
        moto: "*",
        ours: "*",
        source: "ECS API Reference, ListTaskDefinitions, maxResults",
    },
    // Services.
    given(
        SERVING,
        &[
            "/service*/availabilityZoneRebalancing",
            "/service*/capacityProviderStrategy",
            "/service*/createdAt",
            "/service*/createdBy",
            "/service*/deploymentConfiguration",
            "/service*/enableECSManagedTags",
            "/service*/enableExecuteCommand",
            "/service*/events[]",
            "/service*/placementConstraints",
            "/service*/placementStrategy",
            "/service*/platformFamily",
            "/service*/platformVersion",
        ],
        "ECS API Reference, Service and Deployment",
    ),
    left_out(
        SERVING,
        &["/service*/launchType"],
        "ECS API Reference, CreateService, capacityProviderStrategy: the launch type is then omitted",
    ),
    left_out(
        SERVING,
        &["/service*/taskSets"],
        "ECS API Reference, Service, taskSets: of CODE_DEPLOY and EXTERNAL deployments",
    ),
    left_out(
        &["DeleteService"],
        &["/service/tags"],
        "ECS API Reference, DescribeServices, include: tags only where TAGS is given",
    ),
    left_out(
        &["DescribeServices"],
        &["/service*/deployments[]"],
        "ECS API Reference, Service, deployments: the current state of deployments; a deleted service has none",
    ),
    ends(
        &["CreateService"],
        "a name with a space",
        "200",
        "400 InvalidParameterException",
        "ECS API Reference, CreateService, serviceName",
    ),
    ends(
        &["CreateService"],
        "capacity that the cluster has not",
        "200",
        "400 InvalidParameterException",
        "ECS API Reference, CreateService, capacityProviderStrategy: associated with the cluster",
    ),
    ends(
        &["CreateService"],
        "in a cluster that is gone",
        "200",
        "400 ClusterNotFoundException",
        "ECS API Reference, CreateService, ClusterNotFoundException",
    ),
    ends(
        &["CreateService"],
        "the same name for something else",
        "200",
        "400 InvalidParameterException",
        "ECS Developer Guide, Ensuring idempotency: Creation of service was not idempotent",
    ),
    Meant {
        operations: &["DescribeServices"],
        case: "one of two",
        at: &["/failures/0/arn"],
        moto: "*service/other*",
        ours: "*service/stack/other*",
        source: "ECS Developer Guide, Account settings, ARNs and IDs: a service's has its cluster's name",
    },
    ends(
        &["DescribeServices"],
        "none",
        "200",
        "400 InvalidParameterException",
        "ECS API Reference, DescribeServices, services: required",
    ),
    Meant {
        operations: &["ListServices"],
        case: "without the deleted one",
        at: &["/serviceArns", "/serviceArns[]"],
        moto: "*",
        ours: "*",
        source: "ECS API Reference, DeleteService: what is DRAINING is no longer visible in ListServices",
    },
    ends(
        &["DeleteService"],
        "that is deleted",
        "200",
        "400 ServiceNotFoundException",
        "ECS API Reference, DeleteService, ServiceNotFoundException",
    ),
    ends(
        &["ListTagsForResource"],
        "of a service that is not there",
        "400 ServiceNotFoundException",
        "400 InvalidParameterException",
        "ECS API Reference, ListTagsForResource, Errors: has no ServiceNotFoundException",
    ),
    // Tasks.
    given(
        TASKING,
        &[
            "/task*/attributes",
            "/task*/availabilityZone",
            "/task*/capacityProviderName",
            "/task*/connectivity",
            "/task*/connectivityAt",
            "/task*/containers[]/networkBindings",
            "/task*/containers[]/networkInterfaces[]",
            "/task*/containers[]/runtimeId",
            "/task*/cpu",
            "/task*/createdAt",
            "/task*/enableExecuteCommand",
            "/task*/ephemeralStorage",
            "/task*/healthStatus",
            "/task*/memory",
            "/task*/overrides/containerOverrides",
            "/task*/platformFamily",
            "/task*/platformVersion",
            "/task*/pullStartedAt",
            "/task*/pullStoppedAt",
            "/task*/startedAt",
            "/task*/stopCode",
            "/task*/stoppingAt",
            "/task*/version",
        ],
        "ECS API Reference, Task and Container",
    ),
    given(
        &["DescribeTasks"],
        &["/tasks[]/executionStoppedAt", "/tasks[]/stoppedAt", "/tasks[]/tags"],
        "ECS API Reference, Task",
    ),
    left_out(
        TASKING,
        &["/task*/containers[]/exitCode"],
        "ECS API Reference, Container, exitCode: returned from the container, which still runs",
    ),
    left_out(
        TASKING,
        &["/task*/containers[]/memory"],
        "ECS API Reference, Container, memory: the container's limit, which only moto's own definition has",
    ),
    left_out(
        &["DescribeTasks"],
        &["/tasks[]/stoppedReason"],
        "ECS API Reference, Task, stoppedReason: of a task that was stopped",
    ),
    Meant {
        operations: &["DescribeTasks"],
        case: "with its tags, one of two",
        at: &["/failures", "/failures[]", "/failures/0/reason"],
        moto: "*",
        ours: "*",
        source: "ECS API Reference, API failure reasons, DescribeTasks, MISSING",
    },
    ends(
        &["ListTasks"],
        "of a service that is not there",
        "200",
        "400 ServiceNotFoundException",
        "ECS API Reference, ListTasks, ServiceNotFoundException",
    ),
    ends(
        &["StopTask"],
        "that is not there",
        CRASH,
        "400 InvalidParameterException",
        "ECS API Reference, StopTask, InvalidParameterException",
    ),
];
