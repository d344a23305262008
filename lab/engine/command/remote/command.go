// Package remote is the module "remote" of the command plugin: commands run on a host over SSH. Tokens follow
// from the names of this package and of its types.
package remote

import (
	"context"

	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Command is the resource command:remote:Command.
type Command struct{}

// CommandInputs is what a program sets. A nil command means that there is nothing to do for that operation;
// an empty one is a command like any other.
type CommandInputs struct {
	Connection             *Connection       `pulumi:"connection" provider:"secret"`
	Create                 *string           `pulumi:"create,optional"`
	Update                 *string           `pulumi:"update,optional"`
	Delete                 *string           `pulumi:"delete,optional"`
	Stdin                  *string           `pulumi:"stdin,optional"`
	Environment            map[string]string `pulumi:"environment,optional"`
	Triggers               *[]any            `pulumi:"triggers,optional" provider:"replaceOnChanges"`
	Logging                *Logging          `pulumi:"logging,optional"`
	AddPreviousOutputInEnv *bool             `pulumi:"addPreviousOutputInEnv,optional"`
}

// CommandState is what the engine records: the inputs, and the output of the last command that ran.
type CommandState struct {
	CommandInputs
	Stdout string `pulumi:"stdout"`
	Stderr string `pulumi:"stderr"`
}

// Annotate describes the resource in the schema.
func (c *Command) Annotate(a infer.Annotator) {
	a.Describe(&c, "A command on a remote host, over SSH.")
}

// Annotate describes the inputs in the schema.
func (i *CommandInputs) Annotate(a infer.Annotator) {
	a.Describe(&i.Connection, "How to reach the host.")
	a.Describe(&i.Create, "The command that creates. It also updates, when there is no update.")
	a.Describe(&i.Update, "The command that runs when any input but the triggers has changed.")
	a.Describe(&i.Delete, "The command that deletes. It runs as it was recorded, not as the program has it now.")
	a.Describe(&i.Stdin, "What the command reads from its standard input.")
	a.Describe(&i.Environment, "Variables for the command. The SSH server must accept each (AcceptEnv).")
	a.Describe(&i.Triggers, "Values of any type; a change of any of them replaces the resource.")
	a.Describe(&i.Logging, "Which of the command's streams are shown while it runs. Both, when not set.")
	a.Describe(&i.AddPreviousOutputInEnv,
		"Whether the last output is offered as PULUMI_COMMAND_STDOUT and PULUMI_COMMAND_STDERR. True, when not set.")
}

// Annotate describes the outputs in the schema.
func (s *CommandState) Annotate(a infer.Annotator) {
	a.Describe(&s.Stdout, "What the last command wrote to its standard output, less one newline at the end.")
	a.Describe(&s.Stderr, "What the last command wrote to its standard error, less one newline at the end.")
}

// Create runs the create command. In a preview it runs nothing, and the framework marks the outputs unknown.
func (*Command) Create(
	ctx context.Context, req infer.CreateRequest[CommandInputs],
) (infer.CreateResponse[CommandState], error) {
	state := CommandState{CommandInputs: req.Inputs}
	id, err := resource.NewUniqueHex(req.Name, 8, 0)
	if err == nil && !req.DryRun {
		err = state.run(ctx, state.Create)
	}
	return infer.CreateResponse[CommandState]{ID: id, Output: state}, err
}

// Update runs the update command, or the create command when there is none.
func (*Command) Update(
	ctx context.Context, req infer.UpdateRequest[CommandInputs, CommandState],
) (infer.UpdateResponse[CommandState], error) {
	state := CommandState{CommandInputs: req.Inputs, Stdout: req.State.Stdout, Stderr: req.State.Stderr}
	command := state.Update
	if command == nil {
		command = state.Create
	}
	var err error
	if !req.DryRun {
		err = state.run(ctx, command)
	}
	return infer.UpdateResponse[CommandState]{Output: state}, err
}

// Delete runs the recorded delete command on the recorded connection.
func (*Command) Delete(ctx context.Context, req infer.DeleteRequest[CommandState]) (infer.DeleteResponse, error) {
	return infer.DeleteResponse{}, req.State.run(ctx, req.State.Delete)
}
