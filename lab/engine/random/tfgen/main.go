// Command tfgen writes the schema of the random plugin, which the plugin's build embeds.
package main

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfgen"
	"reverse-tunnel/lab/engine/random"
)

func main() {
	tfgen.Main(random.Name, random.Provider())
}
