// Package shim opens HashiCorp's random provider, whose package is internal to its module: the Go rule on
// internal packages goes by import path, and this module's path lies inside.
package shim

import (
	tfprovider "github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/terraform-providers/terraform-provider-random/internal/provider"
)

// NewProvider returns HashiCorp's provider as it is.
func NewProvider() tfprovider.Provider { return provider.New() }
