# Provisioned machines, three Nomad clients (the Vagrantfile): isolated tasks, one replica a machine, at most one door a machine.
driver   = "exec"
machines = 3
