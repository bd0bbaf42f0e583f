# Provisioned machines, three Nomad clients (the Vagrantfile): isolated tasks, one replica and one door a machine.
driver   = "exec"
machines = 3
