import { expand } from './expand.ts'
import { readInput } from './input.ts'
import type { ConfigInput } from './input.ts'
import type { Profile, ServiceConfig } from './settings.ts'

/** The receivers that only collect data of one host. */
const OF_AGENTS = ['host_metrics', 'hostmetrics', 'internal', 'docker_stats', 'dockerstats']

/** The profile of a process with these receivers, `type[/name]`. */
export function profileOf(setting: ServiceConfig['profile'], receivers: Iterable<string>): Profile {
  if (setting !== 'auto') return setting
  const types = Array.from(receivers, (id) => id.split('/')[0].trim())
  return types.length > 0 && types.every((type) => OF_AGENTS.includes(type)) ? 'agent' : 'gateway'
}

/** The profile of a configuration that is not checked yet; `gateway` if it is not clear. @throws ConfigError if it cannot be read */
export async function profileOfInput(input: ConfigInput): Promise<Profile> {
  const { root } = await readInput(input, input.baseDirectory ?? process.cwd())
  const at = (...keys: string[]) =>
    keys.reduce(
      (node, key) => (node?.kind === 'map' ? node.entries.get(key)?.value : undefined),
      root as typeof root | undefined,
    )
  const setting = at('service', 'profile')
  const { text } =
    setting?.kind === 'scalar'
      ? expand(setting.text, { env: input.env ?? process.env, directory: '', read: () => '' })
      : { text: 'auto' }
  if (text !== 'auto') return text === 'agent' ? 'agent' : 'gateway'
  const receivers = at('receivers')
  return profileOf('auto', receivers?.kind === 'map' ? receivers.entries.keys() : [])
}
