import { hostFiles } from '../../host/files.ts'
import type { HostFiles } from '../../host/files.ts'
import { askForJson, textOf } from './ask.ts'
import { defineDetector } from './detector.ts'
import type { Found } from './detector.ts'

export const docker = defineDetector({
  doc: 'the container that this runs in, with details from Docker if its socket is mounted',
  attributes: {
    'container.id': { doc: 'Read from `/proc/self`, without Docker.', enabled: true },
    'container.name': { doc: 'Asks Docker.', enabled: true },
    'container.image.name': { doc: 'Asks Docker.', enabled: true },
    'host.name': { doc: "Name of the containers' host. Asks Docker.", enabled: true },
    'os.type': { doc: "Operating system of the containers' host. Asks Docker.", enabled: true },
  },
  settings: {
    socket: { doc: "Docker's socket.", format: 'path', default: '/var/run/docker.sock' },
  },
  async detect({ socket }, { signal, wanted, fail }) {
    const id = containerId(hostFiles())
    if (wanted.every((name) => name === 'container.id')) return { 'container.id': id }
    try {
      return { 'container.id': id, ...(await askDocker(socket, id, signal)) }
    } catch (error) {
      // A container usually has no access to the socket.
      if (id === undefined) throw error
      fail('Docker reports only the id of the container.', error)
      return { 'container.id': id }
    }
  },
})

/** Source: Docker Engine API, `SystemInfo` and `ContainerInspect`. */
async function askDocker(socketPath: string, id: string | undefined, signal: AbortSignal): Promise<Found> {
  const inspect = async (path: string) => askForJson(`http://docker${path}`, { signal, socketPath })
  const [info, container] = await Promise.all([inspect('/info'), id && inspect(`/containers/${id}/json`)])
  const { Name: name, Config: config } = container || {}
  return {
    'host.name': textOf(info.Name),
    'os.type': textOf(info.OSType),
    'container.name': textOf(name)?.replace(/^\//, ''),
    'container.image.name': textOf((config as { Image?: unknown } | undefined)?.Image),
  }
}

/**
 * The id of the container that this process runs in; `undefined` outside of one, or if its runtime leaves no trace.
 * With version 1 of cgroups it is in the path of the group; with version 2, where a container sees only its own part of
 * the tree, it is in the files that Docker and Podman mount into it.
 */
export function containerId(files: HostFiles): string | undefined {
  const groups = files.optionalText('proc/self/cgroup') ?? ''
  const ofGroup = /[-/:]([\da-f]{64}|[\da-f]{32}-\d+)(?:\.scope)?$/m.exec(groups)?.[1]
  if (ofGroup !== undefined) return ofGroup
  const mounts = files.optionalText('proc/self/mountinfo') ?? ''
  // In a pod, the files come from the sandbox, which has another id.
  if (mounts.includes('/kubelet/pods/')) return undefined
  return /\/(?:docker\/containers|overlay-containers)\/([\da-f]{64})\//.exec(mounts)?.[1]
}
