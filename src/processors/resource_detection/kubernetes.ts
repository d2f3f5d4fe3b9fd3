import { hostFiles } from '../../host/files.ts'
import type { HostFiles } from '../../host/files.ts'
import { defineDetector } from './detector.ts'

export const kubernetes = defineDetector({
  doc: "variables from the downward API: the pod's own `fieldRef`s, without access to the API server",
  attributes: {
    'k8s.pod.name': { doc: '`metadata.name`.', enabled: true },
    'k8s.pod.uid': { doc: '`metadata.uid`; without a variable, read from `/proc/self`.', enabled: true },
    'k8s.namespace.name': {
      doc: '`metadata.namespace`; without a variable, that of the service account.',
      enabled: true,
    },
    'k8s.node.name': { doc: '`spec.nodeName`.', enabled: true },
    'k8s.container.name': { doc: 'Name of the container in the pod.', enabled: true },
    'k8s.cluster.name': { doc: 'Name of the cluster.', enabled: true },
  },
  settings: {
    pod_name: setting('The name of the pod.', 'K8S_POD_NAME', 'POD_NAME'),
    pod_uid: setting('The UID of the pod.', 'K8S_POD_UID', 'POD_UID'),
    namespace: setting('The namespace of the pod.', 'K8S_NAMESPACE_NAME', 'POD_NAMESPACE'),
    node_name: setting('The name of the node.', 'K8S_NODE_NAME', 'NODE_NAME'),
    container_name: setting('The name of the container.', 'K8S_CONTAINER_NAME'),
    cluster_name: setting('The name of the cluster.', 'K8S_CLUSTER_NAME'),
  },
  async detect(config) {
    const files = hostFiles()
    return {
      'k8s.pod.name': config.pod_name,
      'k8s.pod.uid': config.pod_uid ?? podUid(files),
      'k8s.namespace.name': config.namespace ?? namespace(files),
      'k8s.node.name': config.node_name,
      'k8s.container.name': config.container_name,
      'k8s.cluster.name': config.cluster_name,
    }
  },
})

function setting<const Names extends readonly string[]>(doc: string, ...env: Names) {
  return { doc, format: 'string', default: undefined, env } as const
}

/** The UID of the pod that this process runs in, from its cgroup (version 1) or from the files that the kubelet mounts. */
export function podUid(files: HostFiles): string | undefined {
  const groups = files.optionalText('proc/self/cgroup') ?? ''
  const mounts = files.optionalText('proc/self/mountinfo') ?? ''
  const ofGroup = /[/-]pod([\da-f]{8}(?:[-_][\da-f]{4}){3}[-_][\da-f]{12})[/.]/.exec(groups)?.[1]
  return ofGroup?.replaceAll('_', '-') ?? /\/kubelet\/pods\/([\da-f-]{36})\//.exec(mounts)?.[1]
}

function namespace(files: HostFiles): string | undefined {
  return files.optionalText('var/run/secrets/kubernetes.io/serviceaccount/namespace')?.trim()
}
