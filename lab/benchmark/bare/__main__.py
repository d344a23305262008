"""As many components with one command each as there would be forwards, and nothing else.

The commands log in to the VPS and do nothing. What a program that has a component and a command for
each forward takes more time than this one is its own.
"""

import os
from pathlib import Path

import pulumi
from pulumi_command import remote

from components import all_begun, leave_out_sdk_messages

# Its parent, the connection's sshd, is ended: else each connection would stay until the run's end.
NOTHING = "exec sh -c '(sleep 0.3; kill $PPID) </dev/null >/dev/null 2>&1 &'"

leave_out_sdk_messages()
connection = remote.ConnectionArgs(
    host=os.environ["BARE_HOST"],
    host_key=os.environ["BARE_HOST_KEY"],
    private_key=pulumi.Output.secret(Path(os.environ["BARE_KEY_FILE"]).read_text()),
)
for number in range(int(os.environ["BARE_FORWARDS"])):
    name = f"f{number}"
    component = pulumi.ComponentResource("bare:index:PortForward", name)
    remote.Command(
        name,
        connection=connection,
        create=NOTHING,
        logging=remote.Logging.NONE,
        add_previous_output_in_env=False,
        opts=pulumi.ResourceOptions(parent=component),
    )

pulumi.run(all_begun)
