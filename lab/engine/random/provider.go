// Package random describes HashiCorp's random provider to Pulumi's bridge: one description for both the
// schema generator (tfgen, at set-up) and the plugin (at run time).
package random

import (
	"context"
	"errors"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	bridge "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/terraform-providers/terraform-provider-random/shim"
)

// Name is the package's name in tokens and in the plugin's file name.
const Name = "random"

// Version is set by the linker to that of the Python SDK pulumi-random, which asks the engine for the
// plugin of its own version.
var Version string

// Provider returns the description. A resource random_x becomes random:index/randomX:RandomX, the token
// that the published SDKs use.
func Provider() bridge.ProviderInfo {
	info := bridge.ProviderInfo{
		Name:         Name,
		P:            tfbridge.ShimProvider(shim.NewProvider()),
		Version:      Version,
		MetadataInfo: bridge.NewProviderMetadata([]byte("{}")),
		Resources: map[string]*bridge.ResourceInfo{
			// Every bridged resource needs an ID, and this one alone has none of its own upstream.
			"random_bytes": {ComputeID: bytesID},
		},
	}
	info.MustComputeTokens(tokens.SingleModule(Name+"_", "index", token))
	return info
}

func token(module, name string) (string, error) {
	return tokens.MakeStandard(Name)(module, "Random"+name)
}

// bytesID returns the resource's base64 output, which is the ID that the published plugin gives, secret
// though it is: IDs have to agree for a state to be usable with either.
func bytesID(_ context.Context, state resource.PropertyMap) (resource.ID, error) {
	value := state["base64"]
	if value.IsSecret() {
		value = value.SecretValue().Element
	}
	if !value.IsString() {
		return "", errors.New("random_bytes has no base64 output to make its ID from")
	}
	return resource.ID(value.StringValue()), nil
}
