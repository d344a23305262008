package remote

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	p "github.com/pulumi/pulumi-go-provider"
	"golang.org/x/crypto/ssh"
)

// run runs the command on the connection and records its output. Without a command it does nothing at all,
// not even dial, and the recorded output stays.
func (s *CommandState) run(ctx context.Context, command *string) error {
	if command == nil {
		return nil
	}
	client, err := s.Connection.dial(ctx)
	if err != nil {
		return err
	}
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	if err := s.setEnvironment(ctx, session); err != nil {
		return err
	}
	if s.Stdin != nil {
		session.Stdin = strings.NewReader(*s.Stdin)
	}

	// The two streams are copied by a goroutine each, and both write to combined.
	var stdout, stderr, combined lockedBuffer
	log := func(line string) { p.GetLogger(ctx).InfoStatus(line) }
	outLines, errLines := &lineWriter{emit: log}, &lineWriter{emit: log}
	session.Stdout, session.Stderr = io.MultiWriter(&stdout, &combined), io.MultiWriter(&stderr, &combined)
	if s.Logging.shows(LogStdout) {
		session.Stdout = io.MultiWriter(session.Stdout, outLines)
	}
	if s.Logging.shows(LogStderr) {
		session.Stderr = io.MultiWriter(session.Stderr, errLines)
	}

	err = session.Run(*command)
	outLines.flush()
	errLines.flush()
	if err != nil {
		return fmt.Errorf("%w: running %q:\n%s", err, *command, combined.String())
	}
	s.Stdout = strings.TrimSuffix(stdout.String(), "\n")
	s.Stderr = strings.TrimSuffix(stderr.String(), "\n")
	return nil
}

// setEnvironment offers the variables to the server. One that the program asks for and the server refuses is
// an error, the previous output is only a warning.
func (s *CommandState) setEnvironment(ctx context.Context, session *ssh.Session) error {
	log := p.GetLogger(ctx)
	const advice = "the SSH server accepts only the variables that its AcceptEnv names"
	for name, value := range s.Environment {
		if err := session.Setenv(name, value); err != nil {
			log.Errorf("Unable to set %q: %s", name, advice)
			return fmt.Errorf("could not set environment variable %q: %w", name, err)
		}
	}
	if s.AddPreviousOutputInEnv != nil && !*s.AddPreviousOutputInEnv {
		return nil
	}
	for _, previous := range []struct{ name, value string }{
		{"PULUMI_COMMAND_STDOUT", s.Stdout},
		{"PULUMI_COMMAND_STDERR", s.Stderr},
	} {
		if previous.value == "" {
			continue
		}
		if err := session.Setenv(previous.name, previous.value); err != nil {
			log.Warningf("Unable to set %q: %s", previous.name, advice)
		}
	}
	return nil
}

// lockedBuffer is a buffer that two goroutines may write to.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(data)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// lineWriter hands what is written to it on to emit, line by line.
type lineWriter struct {
	emit func(line string)
	rest []byte
}

func (w *lineWriter) Write(data []byte) (int, error) {
	w.rest = append(w.rest, data...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			return len(data), nil
		}
		w.emit(string(bytes.TrimSuffix(line, []byte("\r"))))
		w.rest = rest
	}
}

// flush emits a last line that has no newline.
func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.emit(string(w.rest))
		w.rest = nil
	}
}
