package remote

import "github.com/pulumi/pulumi-go-provider/infer"

// Logging says which of a command's streams are shown while it runs.
type Logging string

// The allowed values. Any other shows nothing, as in the official plugin.
const (
	LogStdout          Logging = "stdout"
	LogStderr          Logging = "stderr"
	LogStdoutAndStderr Logging = "stdoutAndStderr"
	LogNone            Logging = "none"
)

// Values lists the enumeration for the schema.
func (Logging) Values() []infer.EnumValue[Logging] {
	return []infer.EnumValue[Logging]{
		{Value: LogStdout, Description: "Standard output only."},
		{Value: LogStderr, Description: "Standard error only."},
		{Value: LogStdoutAndStderr, Description: "Both."},
		{Value: LogNone, Description: "Neither."},
	}
}

// shows tells whether the stream, LogStdout or LogStderr, is shown. No setting shows both.
func (l *Logging) shows(stream Logging) bool {
	return l == nil || *l == stream || *l == LogStdoutAndStderr
}
