// Command command is a stand-in for Pulumi's resource plugin "command", for machines that reach package
// registries only: no published module version contains the official one. It serves command:remote:Command
// as version 1.2.1 does, same tokens, same state, same errors; tests/lab/test_contract.py holds both to the
// same contract. Where the official plugin is installed, that is used and this is not.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/pulumi/pulumi-go-provider/infer"
	"reverse-tunnel/lab/engine/command/remote"
)

// version is set by the linker to that of the Python SDK pulumi-command, which asks the engine for the
// plugin of its own version.
var version string

func main() {
	provider, err := infer.NewProviderBuilder().
		WithDisplayName("Command (stand-in)").
		WithDescription("A stand-in for the official plugin: remote commands only.").
		WithResources(infer.Resource(&remote.Command{})).
		Build()
	if err == nil {
		err = provider.Run(context.Background(), "command", version)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "command (stand-in):", err)
		os.Exit(1)
	}
}
