import os from 'node:os'
import { deadline } from '../time/clock.ts'
import type { Timer } from '../time/clock.ts'
import type { Context } from '../component/context.ts'
import type { ConfigOf } from '../component/settings.ts'
import { errorMessage } from '../errors.ts'
import { hostFiles } from '../host/files.ts'
import { identifyCpu } from '../host/inventory.ts'
import { answerMessage } from '../net/answer.ts'
import { httpClient } from '../net/http_client.ts'
import type { MetricBatch } from '../otlp/metrics/batch.ts'
import { countErrors, warnIfUnreadable } from './answers.ts'
import { overridingHost, resolveHost } from './host.ts'
import { INTAKE_PATH } from './settings.ts'
import type { datadogSettings } from './settings.ts'
import { splitTag } from './tags.ts'

/** Milliseconds before a failed report is tried again, if the period is not shorter. */
const RETRY = 60_000
/** Milliseconds for one attempt. */
const TIMEOUT = 30_000

type MetadataContext = Pick<
  Context<ConfigOf<typeof datadogSettings>>,
  'clock' | 'config' | 'log' | 'network' | 'signal' | 'onStop'
>

/** An attribute `datadog.host.tag.<key>` of a resource is the tag `<key>` of its host. */
const HOST_TAG = 'datadog.host.tag.'
/** The most tags that the data may give the host. */
const MAX_TAGS = 100
/** The most characters of such a tag, far more than Datadog keeps. */
const MAX_LENGTH = 1000

/** The reports of this host to Datadog's infrastructure list. */
interface HostReports {
  /** Takes the host's tags from the resources of this host, and of no other. */
  readonly read: (batch: MetricBatch) => void
  /** Reports at once, and again after each period until the component stops. Only the first call has an effect. */
  readonly start: () => void
}

/**
 * Makes the reports, which do nothing unless they are enabled. A failure is logged and has no other effect. New tags
 * are reported within a minute. `intake`: the address, without the path, if `host_metadata` does not give one.
 */
export function hostMetadata(context: MetadataContext, intake: string): HostReports {
  const { clock, config, log, signal, onStop } = context
  const { enabled, endpoint = intake, reporter_period: period } = config.host_metadata
  if (!enabled) return { read: () => undefined, start: () => undefined }
  const { api_key: apiKey, hostname = os.hostname() } = config
  const own = [...config.tags, ...config.host_metadata.tags]
  const ownKeys = new Set(own.map((tag) => splitTag(tag)[0]))
  const fromData = new Map<string, string>()
  const tags = (): string[] => [...new Set([...own, ...Array.from(fromData, ([key, value]) => `${key}:${value}`)])]
  const url = endpoint.replace(/\/+$/, '') + INTAKE_PATH
  const post = httpClient(context)
  const retry = Math.min(period, RETRY)
  let timer: Timer | undefined
  let due = 0
  let reported = ''
  let started = false
  onStop(() => clock.clearTimeout(timer))

  function reportIn(delay: number): void {
    clock.clearTimeout(timer)
    due = clock.monotonic() + delay
    timer = clock.setTimeout(() => void report(), delay)
  }

  async function report(): Promise<void> {
    timer = undefined
    let next = period
    const reporting = tags()
    try {
      const body = Buffer.from(JSON.stringify(await payload(hostname, reporting)))
      if (signal.aborted) return
      const response = await post(url, {
        headers: { 'dd-api-key': apiKey, 'content-type': 'application/json' },
        body,
        signal: AbortSignal.any([signal, deadline(clock, TIMEOUT)]),
        maxResponse: 65_536,
      })
      const { status, body: answer } = response
      if (status < 200 || status >= 300 || countErrors(answer) > 0) {
        throw new Error(answerMessage(response))
      }
      warnIfUnreadable(response, log)
      reported = reporting.join()
      if (tags().join() !== reported) next = retry
      log.debug('The host was reported to Datadog.', { event: 'host_reported', host: hostname })
    } catch (error) {
      if (signal.aborted) return
      next = retry
      log.warn('The host could not be reported to Datadog; this will be tried again.', {
        event: 'host_report_failed',
        error: errorMessage(error),
        after: `${next}ms`,
      })
    }
    if (!signal.aborted) reportIn(next)
  }

  return {
    read(batch) {
      for (const { resource } of batch.resources) {
        const { attributes } = resource
        const keys = attributes.keys().filter((key) => key.startsWith(HOST_TAG))
        if (keys.length === 0 || (overridingHost(config) ?? resolveHost(attributes).host) !== hostname) continue
        for (const attribute of keys) {
          const [key, value] = [attribute.slice(HOST_TAG.length), attributes.text(attribute)]
          if (
            !key ||
            !value ||
            key.length + value.length > MAX_LENGTH ||
            ownKeys.has(key) ||
            (fromData.size >= MAX_TAGS && !fromData.has(key))
          )
            continue
          fromData.set(key, value)
        }
      }
      if (timer !== undefined && due - clock.monotonic() > retry && tags().join() !== reported) reportIn(retry)
    },
    start() {
      if (started || signal.aborted) return
      started = true
      void report()
    },
  }
}

/**
 * Source: datadog-agent, pkg/opentelemetry-mapping-go/inframetadata; the Collector's datadogexporter,
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
    // A text that itself holds JSON.
    gohai: JSON.stringify(await inventory(hostname)),
  }
}

/** The machine in the format of Datadog's gohai, in which every value is a text. */
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
