# Whoever deploys: scripts/deploy, rollout and `nomad job scale`. No ACLs, no agents, no secrets (a rotation wants more), no exec into tasks.
namespace "default" {
  capabilities = ["list-jobs", "read-job", "submit-job", "scale-job", "read-logs"]

  # Their names, not what is in them: a job without its secrets would wait for ever.
  variables {
    path "nomad/jobs/*" {
      capabilities = ["list"]
    }
  }
}

host_volume "kvstore" {
  policy = "write"
}

node {
  policy = "read"
}
