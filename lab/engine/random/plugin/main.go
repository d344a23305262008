// Command plugin is the Pulumi resource plugin "random".
package main

import (
	"context"
	_ "embed"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	"reverse-tunnel/lab/engine/random"
)

// schema is made by tfgen at set-up and never committed.
//
//go:embed schema.json
var schema []byte

func main() {
	tfbridge.Main(context.Background(), random.Name, random.Provider(), tfbridge.ProviderMetadata{
		PackageSchema: schema,
	})
}
