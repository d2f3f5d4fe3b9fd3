import type { Context } from '../../component/context.ts'
import { hostFiles } from '../../host/files.ts'
import { detect } from '../resource_detection/detect.ts'

/** Milliseconds that each source may take. */
const TIMEOUT = 2000

/**
 * The prefixes of machine names that EC2 has chosen. Source: datadog-agent, pkg/util/ec2/ec2.go, `defaultPrefixes`; the
 * Collector's internal/datadog/hostmetadata/internal/ec2 has the same.
 */
const CHOSEN_BY_EC2 = /^(?:ip-|domu|ec2amaz-)/i

/** The sources to ask. */
interface AgentHostnameSettings {
  readonly root_path: string | undefined
  readonly node_name: string | undefined
  readonly ec2: { readonly endpoint: string }
  readonly gcp: { readonly endpoint: string }
}

/**
 * The name that Datadog's Agent would give this host if none is configured: on Google Compute Engine, the name from its
 * metadata server; elsewhere that of the Kubernetes node, or of the system, or the id of the instance if EC2 has chosen
 * the name. Never throws: if a source does not answer, that is logged and the next one is used, as in the Agent.
 * Source: datadog-agent, pkg/util/hostname/README.md and providers.go (2026).
 */
export async function agentHostname(
  { root_path, node_name, ec2, gcp }: AgentHostnameSettings,
  { clock, log, signal }: Pick<Context, 'clock' | 'log' | 'signal'>,
): Promise<string | undefined> {
  /** One attribute that a detector finds. */
  async function ask(name: 'system' | 'ec2' | 'gcp', attribute: string, settings: object): Promise<string | undefined> {
    const config = { ...settings, resource_attributes: { [attribute]: { enabled: true } } }
    const found = await detect([name], { [name]: config }, { clock, log, signal, timeout: TIMEOUT })
    return found.get(name)?.[attribute] as string | undefined
  }

  if (isOnComputeEngine(root_path)) {
    const name = await ask('gcp', 'gcp.gce.instance.hostname', gcp)
    if (name !== undefined) return name
  }
  const name = node_name ?? (await ask('system', 'host.name', { root_path }))
  if (name === undefined || !CHOSEN_BY_EC2.test(name)) return name
  return (await ask('ec2', 'host.id', ec2)) ?? name
}

/** Source: Google Compute Engine documentation, "Detect if a VM is running in Compute Engine". */
function isOnComputeEngine(root: string | undefined): boolean {
  const product = hostFiles(root?.replace(/\/+$/, '')).optionalText('sys/class/dmi/id/product_name')
  return product?.trim() === 'Google Compute Engine'
}
