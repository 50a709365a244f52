// Consul, as its own program puts it together.
package main

import (
	"os"

	"github.com/hashicorp/consul/command"
	"github.com/hashicorp/consul/command/cli"
	mitchellh "github.com/mitchellh/cli"
)

func main() {
	ui := &cli.BasicUI{BasicUi: mitchellh.BasicUi{Writer: os.Stdout, ErrorWriter: os.Stderr}}
	program := &mitchellh.CLI{
		Name:     "consul",
		Args:     os.Args[1:],
		Commands: command.CommandsFromRegistry(ui),
	}
	status, err := program.Run()
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
	}
	os.Exit(status)
}
