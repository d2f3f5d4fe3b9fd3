import { ask } from './ask.ts'
import { cloudAttributes, defineDetector } from './detector.ts'

/** Source: Google Compute Engine, "View and query VM metadata" and "Predefined VM metadata keys". */
export const gcp = defineDetector({
  doc: "Google Cloud's metadata server, on Compute Engine and on nodes of Kubernetes Engine",
  attributes: {
    ...cloudAttributes,
    'host.type': { doc: 'The type of the machine.', enabled: true },
    'k8s.cluster.name': { doc: 'The cluster of Kubernetes Engine.', enabled: true },
    'gcp.gce.instance.name': { doc: 'Name of the machine.', enabled: false },
    'gcp.gce.instance.hostname': { doc: 'Full name of the machine in the network.', enabled: false },
  },
  settings: {
    endpoint: { doc: 'The address of the metadata server.', format: 'url', default: 'http://metadata.google.internal' },
  },
  async detect({ endpoint }, { signal }) {
    const base = `${endpoint.replace(/\/+$/, '')}/computeMetadata/v1`
    // Each on its own, as text: the id of a machine is too large for a JSON number.
    const value = async (path: string): Promise<string | undefined> => {
      const { status, headers, text } = await ask(`${base}/${path}`, {
        headers: { 'metadata-flavor': 'Google' },
        signal,
      })
      if (headers['metadata-flavor'] !== 'Google') throw new Error(`GET ${base}/${path}: this is not Google's server`)
      if (status === 404) return undefined
      if (status !== 200) throw new Error(`GET ${base}/${path}: ${status}`)
      return text.trim()
    }
    const [project, id, name, hostname, zonePath, typePath, cluster] = await Promise.all([
      value('project/project-id'),
      value('instance/id'),
      value('instance/name'),
      value('instance/hostname'),
      value('instance/zone'),
      value('instance/machine-type'),
      value('instance/attributes/cluster-name'),
    ])
    // `projects/123456789012/zones/europe-west1-b`; the region is the part before the last dash.
    const zone = zonePath?.split('/').at(-1)
    return {
      'cloud.provider': 'gcp',
      'cloud.platform': cluster === undefined ? 'gcp_compute_engine' : 'gcp_kubernetes_engine',
      'cloud.account.id': project,
      'cloud.region': zone?.replace(/-[^-]*$/, ''),
      'cloud.availability_zone': zone,
      'host.id': id,
      'host.name': name,
      'host.type': typePath?.split('/').at(-1),
      'k8s.cluster.name': cluster,
      'gcp.gce.instance.name': name,
      'gcp.gce.instance.hostname': hostname,
    }
  },
})
