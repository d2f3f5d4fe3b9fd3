import os from 'node:os'
import type { ConfigOf, Context } from '../component.ts'
import { errorMessage } from '../errors.ts'
import { hostFiles } from '../host/files.ts'
import { identifyCpu } from '../host/inventory.ts'
import { answerMessage, httpClient } from '../http/client.ts'
import { countErrors } from './answers.ts'
import type { datadogSettings } from './settings.ts'

/** Milliseconds after which what failed is tried again, if the period is not shorter. */
const RETRY = 60_000
/** Milliseconds for one attempt. */
const TIMEOUT = 30_000

type MetadataContext = Pick<Context<ConfigOf<typeof datadogSettings>>, 'config' | 'log' | 'signal' | 'onStop'>

/**
 * Makes the function that starts to report this host to Datadog's infrastructure list, if that is asked for: at once, and
 * again after each period until the component stops. Only its first call does something. A failure is logged and costs
 * nothing else. `intake`: where to, without the path, if `host_metadata` does not say.
 */
export function hostMetadata(context: MetadataContext, intake: string): () => void {
  const { config, log, signal, onStop } = context
  const { enabled, endpoint = intake, reporter_period: period } = config.host_metadata
  if (!enabled) return () => undefined
  const { api_key: apiKey, hostname = os.hostname() } = config
  const tags = [...new Set([...config.tags, ...config.host_metadata.tags])]
  const url = `${endpoint.replace(/\/+$/, '')}/intake`
  const post = httpClient(context)
  let timer: NodeJS.Timeout | undefined
  let started = false
  onStop(() => clearTimeout(timer))

  async function report(): Promise<void> {
    let next = period
    try {
      const body = Buffer.from(JSON.stringify(await payload(hostname, tags)))
      if (signal.aborted) return
      const response = await post(url, {
        headers: { 'dd-api-key': apiKey, 'content-type': 'application/json' },
        body,
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT)]),
        maxResponse: 65_536,
      })
      const { status, body: answer } = response
      if (status < 200 || status >= 300 || countErrors(answer) > 0) {
        throw new Error(answerMessage(url, response, [apiKey]))
      }
      log.debug('The host was reported to Datadog.', { host: hostname })
    } catch (error) {
      if (signal.aborted) return
      next = Math.min(period, RETRY)
      log.warn('The host could not be reported to Datadog; it will be tried again.', {
        error: errorMessage(error),
        after: `${next}ms`,
      })
    }
    if (!signal.aborted) timer = setTimeout(() => void report(), next)
  }

  return () => {
    if (started || signal.aborted) return
    started = true
    void report()
  }
}

/**
 * Source: datadog-agent, pkg/opentelemetry-mapping-go/inframetadata; the collector's datadogexporter,
 * internal/hostmetadata. The intake itself is not documented.
 */
async function payload(hostname: string, tags: readonly string[]): Promise<object> {
  return {
    internalHostname: hostname,
    'agent-flavor': 'heka-pipeline',
    meta: {
      hostname,
      'socket-hostname': os.hostname(),
      'instance-id': '',
      'ec2-hostname': '',
      'socket-fqdn': '',
      host_aliases: [],
    },
    'host-tags': { otel: tags },
    // A text that holds JSON of its own.
    gohai: JSON.stringify(await inventory(hostname)),
  }
}

/** The machine in the words of Datadog's gohai, which says everything as text. */
async function inventory(hostname: string): Promise<object> {
  const { default: information } = await import('systeminformation')
  const host = { root: hostFiles(), platform: process.platform, information: async () => information }
  const [system, cpu, named, memory] = await Promise.all([
    information.osInfo(),
    information.cpu(),
    identifyCpu(host),
    information.mem(),
  ])
  const addresses = Object.values(os.networkInterfaces()).flatMap((list) => list ?? [])
  const outward = addresses.filter(({ internal }) => !internal)
  const address = (family: string): string => outward.find((one) => one.family === family)?.address ?? ''
  return {
    platform: {
      hostname,
      os: `${system.distro} ${system.release}`.trim(),
      GOOS: process.platform === 'win32' ? 'windows' : process.platform,
      GOOARCH: os.arch() === 'x64' ? 'amd64' : os.arch(),
      processor: os.machine(),
      machine: os.machine(),
      hardware_platform: os.machine(),
      kernel_name: os.type(),
      kernel_release: os.release(),
      kernel_version: os.version(),
    },
    cpu: {
      vendor_id: named.vendor ?? '',
      model_name: named.name ?? '',
      family: named.family ?? '',
      model: named.model ?? '',
      stepping: named.stepping ?? '',
      cpu_cores: String(cpu.physicalCores),
      cpu_logical_processors: String(cpu.cores),
      mhz: String(cpu.speed * 1000),
      cache_size: named.l2 === undefined ? '' : `${Math.round(named.l2 / 1024)} KB`,
    },
    memory: {
      total: `${Math.round(memory.total / 1024)}kB`,
      swap_total: `${Math.round(memory.swaptotal / 1024)}kB`,
    },
    network: {
      ipaddress: address('IPv4'),
      ipaddressv6: address('IPv6'),
      macaddress: outward[0]?.mac ?? '',
    },
  }
}
