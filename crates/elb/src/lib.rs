//! What the functions share that call Elastic Load Balancing: a job's load balancer and target groups, found by name.
