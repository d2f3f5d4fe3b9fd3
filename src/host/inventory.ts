import os from 'node:os'
import type { AttributeValue } from '../otlp/common/attributes.ts'
import { readCpu } from './cpu.ts'
import type { Cpu } from './cpu.ts'
import type { HostFiles } from './files.ts'

/** The sources of the attributes. */
export interface Host {
  readonly root: HostFiles
  readonly platform: NodeJS.Platform
  /** Loads systeminformation, which costs memory and time. */
  readonly information: () => Promise<Pick<typeof import('systeminformation'), 'cpu' | 'osInfo' | 'uuid'>>
}

interface ResourceAttribute {
  readonly doc: string
  readonly enabled: boolean
  /** `undefined` if the system does not report it. */
  read(host: Host): AttributeValue | Promise<AttributeValue>
}

/** The words of the semantic conventions for `os.type` and `host.arch`, if they differ from those of Node.js. */
const OS_TYPES: Partial<Record<string, string>> = { win32: 'windows', sunos: 'solaris' }
const ARCHITECTURES: Partial<Record<string, string>> = { x64: 'amd64', ia32: 'x86', arm: 'arm32' }

/** The attributes of the host, by the names of the OpenTelemetry semantic conventions. */
export const resourceAttributes: Readonly<Record<string, ResourceAttribute>> = {
  'host.name': {
    doc: 'Name of the host; with a `root_path`, the one in its `/etc/hostname`.',
    enabled: true,
    read: ({ root }) => (root.isOwn ? undefined : root.optionalText('etc/hostname')?.trim()) || os.hostname(),
  },
  'os.type': {
    doc: 'Kind of operating system, such as `linux`, `darwin` or `windows`.',
    enabled: true,
    read: ({ platform }) => OS_TYPES[platform] ?? platform,
  },
  'host.id': {
    doc: 'ID of the installation: the machine ID.',
    enabled: false,
    read: async ({ root, platform, information }) =>
      platform === 'linux' ? root.text('etc/machine-id').trim() : (await (await information()).uuid()).os,
  },
  'host.arch': {
    doc: 'Architecture of the CPU, such as `amd64` or `arm64`.',
    enabled: false,
    read: () => ARCHITECTURES[os.arch()] ?? os.arch(),
  },
  'os.description': {
    doc: 'Human-readable name and version of the operating system.',
    enabled: false,
    read: (host) => osRelease(host).then(({ description }) => description),
  },
  'os.version': {
    doc: 'Version of the operating system.',
    enabled: false,
    read: (host) => osRelease(host).then(({ version }) => version),
  },
  'host.ip': {
    doc: 'Addresses of the host, except loopback ones.',
    enabled: false,
    read: () => networkAddresses(({ address }) => address),
  },
  'host.mac': {
    doc: 'Hardware addresses of the network interfaces, such as `AC-DE-48-23-45-67`.',
    enabled: false,
    read: () => networkAddresses(({ mac }) => mac.toUpperCase().replaceAll(':', '-')),
  },
  'host.cpu.vendor.id': {
    doc: 'Vendor of the CPU in its own spelling, such as `GenuineIntel` or `AuthenticAMD`; for an ARM processor, its designer.',
    enabled: false,
    read: (host) => identifyCpu(host).then(({ vendor }) => vendor),
  },
  'host.cpu.family': {
    doc: 'Family of the CPU; for an ARM processor, the version of the architecture.',
    enabled: false,
    read: (host) => identifyCpu(host).then(({ family }) => family),
  },
  'host.cpu.model.id': {
    doc: 'Model of the CPU within its family; for an ARM processor, its part number.',
    enabled: false,
    read: (host) => identifyCpu(host).then(({ model }) => model),
  },
  'host.cpu.model.name': {
    doc: 'Human-readable name of the CPU, as stored in the CPU.',
    enabled: false,
    read: (host) => identifyCpu(host).then(({ name }) => name),
  },
  'host.cpu.stepping': {
    doc: 'Revision of the CPU.',
    enabled: false,
    read: (host) => identifyCpu(host).then(({ stepping }) => stepping),
  },
  'host.cpu.cache.l2.size': {
    doc: "Size of the first CPU's level 2 cache in bytes.",
    enabled: false,
    read: (host) => identifyCpu(host).then(({ l2 }) => l2),
  },
}

/** Reads the given attributes. One that cannot be read is reported to `fail` and left out; an empty one is left out, too. */
export async function readInventory(
  names: readonly string[],
  host: Host,
  fail: (cause: string, error: unknown) => void,
): Promise<Record<string, AttributeValue>> {
  const inventory: Record<string, AttributeValue> = {}
  for (const name of names) {
    try {
      const value = await resourceAttributes[name].read(host)
      if (value !== undefined && value !== '') inventory[name] = value
    } catch (error) {
      fail(`The resource attribute ${name} cannot be read.`, error)
    }
  }
  return inventory
}

/** On Linux from its files, which need no `lscpu` and hold the CPU's own names, also if the host is below a folder. */
export async function identifyCpu({ root, platform, information }: Host): Promise<Cpu> {
  if (platform === 'linux') return readCpu(root)
  const { vendor, family, model, stepping, cache } = await (await information()).cpu()
  // systeminformation shortens the name; Node.js leaves it as it is.
  return { vendor, family, model, name: os.cpus()[0]?.model, stepping, l2: cache.l2 || undefined }
}

/** On Linux from the file that describes the distribution, because the host may be below a folder. */
async function osRelease({ root, platform, information }: Host): Promise<{ description?: string; version?: string }> {
  if (platform !== 'linux') {
    const { distro, release } = await (await information()).osInfo()
    return { description: `${distro} ${release}`, version: release }
  }
  const text = root.text('etc/os-release')
  const value = (key: string) => new RegExp(`^${key}="?([^"\\n]*)"?$`, 'm').exec(text)?.[1]
  return { description: value('PRETTY_NAME'), version: value('VERSION_ID') }
}

function networkAddresses(part: (address: os.NetworkInterfaceInfo) => string): string[] {
  const addresses = Object.values(os.networkInterfaces()).flatMap((list) => list ?? [])
  return [...new Set(addresses.filter(({ internal }) => !internal).map(part))]
}
