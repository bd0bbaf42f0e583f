# Whoever deploys: scripts/deploy, rollout, rotate-tokens and `nomad job scale`. No ACLs, no agents, no variables, no exec into tasks.
namespace "default" {
  capabilities = ["list-jobs", "read-job", "submit-job", "scale-job", "read-logs"]
}

host_volume "kvstore" {
  policy = "write"
}

node {
  policy = "read"
}
