"""The Pulumi program: the stack's settings, the tunnel they describe, and what it tells."""

import gc
import os
import sys

import pulumi

from components import LookUpError, ReverseTunnel, all_begun, leave_out_sdk_messages
from settings import Settings, SettingsError, hints_at_secrets, in_namespace, load

# The engine takes this status to mean that the user has been told everything already.
SAID_IT_ALL = 32


def stack_settings() -> Settings:
    """The settings in the stack's configuration file, with its secrets decrypted."""
    project = pulumi.get_project()
    values = in_namespace(project, pulumi.runtime.get_config_env())
    secret = {key for key in values if pulumi.runtime.is_config_secret(f"{project}:{key}")}
    for hint in hints_at_secrets(secret):
        pulumi.log.warn(hint)
    agent = bool(os.environ.get("SSH_AUTH_SOCK"))
    return load(values, agent=agent, in_clear=values.keys() - secret)


gc.disable()  # it lives for seconds, of which a fifth went into looking for garbage
leave_out_sdk_messages()
try:
    tunnel = ReverseTunnel(pulumi.get_stack(), stack_settings())
except (SettingsError, LookUpError) as error:
    pulumi.log.error(str(error))
    sys.exit(SAID_IT_ALL)

pulumi.export("publicAddress", tunnel.public_address)
pulumi.export("publicKeys", tunnel.public_keys)
pulumi.export("forwards", tunnel.forwards)
pulumi.export("clientConfigs", tunnel.client_configs)
pulumi.export("serverConfigs", tunnel.server_configs)
pulumi.run(all_begun)
