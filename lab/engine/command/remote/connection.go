package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/retry"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// endpoint is what the schema has in common for a host and for the proxy on the way to it. The framework fills
// in the defaults (see annotateEndpoint) before a resource sees it.
type endpoint struct {
	Host               *string  `pulumi:"host"`
	Port               *float64 `pulumi:"port,optional"`
	User               *string  `pulumi:"user,optional"`
	Password           *string  `pulumi:"password,optional" provider:"secret"`
	PrivateKey         *string  `pulumi:"privateKey,optional" provider:"secret"`
	PrivateKeyPassword *string  `pulumi:"privateKeyPassword,optional" provider:"secret"`
	AgentSocketPath    *string  `pulumi:"agentSocketPath,optional"`
	HostKey            *string  `pulumi:"hostKey,optional"`
	DialErrorLimit     *int     `pulumi:"dialErrorLimit,optional"`
	PerDialTimeout     *int     `pulumi:"perDialTimeout,optional"`
}

// Connection is the type command:remote:Connection.
type Connection struct {
	endpoint
	Proxy *ProxyConnection `pulumi:"proxy,optional"`
}

// ProxyConnection is the type command:remote:ProxyConnection, the host to pass through.
type ProxyConnection struct {
	endpoint
}

// Annotate describes the type in the schema.
func (c *Connection) Annotate(a infer.Annotator) {
	a.Describe(&c, "How to reach a host over SSH.")
	a.Describe(&c.Proxy, "The host to pass through, if any.")
	annotateEndpoint(a, &c.endpoint)
}

// Annotate describes the type in the schema.
func (c *ProxyConnection) Annotate(a infer.Annotator) {
	a.Describe(&c, "How to reach the host to pass through.")
	annotateEndpoint(a, &c.endpoint)
}

func annotateEndpoint(a infer.Annotator, e *endpoint) {
	a.Describe(&e.Host, "The host's address or name.")
	a.Describe(&e.Port, "The SSH port.")
	a.SetDefault(&e.Port, 22)
	a.Describe(&e.User, "The login.")
	a.SetDefault(&e.User, "root")
	a.Describe(&e.Password, "The login's password.")
	a.Describe(&e.PrivateKey, "The private key, as text. It is tried before the password.")
	a.Describe(&e.PrivateKeyPassword, "The private key's passphrase, if it has one.")
	a.Describe(&e.AgentSocketPath, "The SSH agent's socket. SSH_AUTH_SOCK, when not set.")
	a.Describe(&e.HostKey, "The one host key to accept, as in authorized_keys. Any is accepted when not set.")
	a.Describe(&e.DialErrorLimit, "How often a failed dial is tried again. -1: without end.")
	a.SetDefault(&e.DialErrorLimit, 10)
	a.Describe(&e.PerDialTimeout, "Seconds for the TCP connection of one dial. 0: without end.")
	a.SetDefault(&e.PerDialTimeout, 15)
}

func (e *endpoint) address() string {
	return net.JoinHostPort(*e.Host, strconv.Itoa(int(*e.Port)))
}

// clientConfig fails on what no retry can mend: a host key or a private key that cannot be parsed, an agent
// that does not answer.
func (e *endpoint) clientConfig() (*ssh.ClientConfig, error) {
	config := &ssh.ClientConfig{
		User:            *e.User,
		Timeout:         time.Duration(*e.PerDialTimeout) * time.Second,
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	}
	if e.HostKey != nil {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(*e.HostKey))
		if err != nil {
			return nil, fmt.Errorf("failed to parse host key: %w", err)
		}
		config.HostKeyCallback = ssh.FixedHostKey(key)
		// The server is asked for a key of this very type, or it may offer another of its keys.
		config.HostKeyAlgorithms = []string{key.Type()}
	}
	var err error
	config.Auth, err = e.authMethods()
	return config, err
}

func (e *endpoint) authMethods() ([]ssh.AuthMethod, error) {
	var methods []ssh.AuthMethod
	if e.PrivateKey != nil {
		signer, err := e.signer()
		if err != nil {
			return nil, err
		}
		methods = append(methods, ssh.PublicKeys(signer))
	}
	if e.Password != nil {
		answer := func(_, _ string, questions []string, _ []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range answers {
				answers[i] = *e.Password
			}
			return answers, nil
		}
		methods = append(methods, ssh.Password(*e.Password), ssh.KeyboardInteractive(answer))
	}
	socket := os.Getenv("SSH_AUTH_SOCK")
	if e.AgentSocketPath != nil {
		socket = *e.AgentSocketPath
	}
	if socket != "" || e.AgentSocketPath != nil {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return nil, err
		}
		methods = append(methods, ssh.PublicKeysCallback(agent.NewClient(conn).Signers))
	}
	return methods, nil
}

func (e *endpoint) signer() (ssh.Signer, error) {
	if e.PrivateKeyPassword == nil {
		return ssh.ParsePrivateKey([]byte(*e.PrivateKey))
	}
	return ssh.ParsePrivateKeyWithPassphrase([]byte(*e.PrivateKey), []byte(*e.PrivateKeyPassword))
}

// dial connects, through the proxy if there is one. Like the official plugin it offers no way to close the
// connection: every one stays open until the plugin ends with the run, and figures about sessions and memory
// on a host are to count them.
func (c *Connection) dial(ctx context.Context) (*ssh.Client, error) {
	config, err := c.clientConfig()
	if err != nil {
		return nil, err
	}
	if c.Proxy == nil {
		return patiently(ctx, "Dial", *c.DialErrorLimit, func() (*ssh.Client, error) {
			return ssh.Dial("tcp", c.address(), config)
		})
	}
	client, err := c.dialThroughProxy(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	return client, nil
}

func (c *Connection) dialThroughProxy(ctx context.Context, config *ssh.ClientConfig) (*ssh.Client, error) {
	proxyConfig, err := c.Proxy.clientConfig()
	if err != nil {
		return nil, err
	}
	proxy, err := patiently(ctx, "Dial proxy", *c.Proxy.DialErrorLimit, func() (*ssh.Client, error) {
		return ssh.Dial("tcp", c.Proxy.address(), proxyConfig)
	})
	if err != nil {
		return nil, err
	}
	stream, err := patiently(ctx, "Dial from proxy", *c.DialErrorLimit, func() (net.Conn, error) {
		return proxy.Dial("tcp", c.address())
	})
	if err != nil {
		return nil, err
	}
	return patiently(ctx, "Dial", *c.DialErrorLimit, func() (*ssh.Client, error) {
		conn, channels, requests, err := ssh.NewClientConn(stream, c.address(), config)
		if err != nil {
			return nil, err
		}
		return ssh.NewClient(conn, channels, requests), nil
	})
}

// patiently tries until it succeeds, at most once and limit times again, or without end when limit is -1. The
// waits are those of Pulumi's own retry, 0.1 s growing by half up to 5 s: ten of them take 11 s.
func patiently[T any](ctx context.Context, what string, limit int, try func() (T, error)) (T, error) {
	var result T
	accepted, _, err := retry.Until(ctx, retry.Acceptor{
		Accept: func(failures int, _ time.Duration) (bool, any, error) {
			var err error
			if result, err = try(); err == nil {
				return true, nil, nil
			}
			if limit >= 0 && failures >= limit {
				return true, nil, fmt.Errorf("after %d failed attempts: %w", failures, err)
			}
			p.GetLogger(ctx).InfoStatusf("%s %d/%s failed: retrying", what, failures+1, shown(limit))
			return false, nil, nil
		},
	})
	if err == nil && !accepted {
		err = ctx.Err()
		if err == nil {
			err = errors.New("gave up dialling")
		}
	}
	return result, err
}

func shown(limit int) string {
	if limit < 0 {
		return "inf"
	}
	return strconv.Itoa(limit)
}
