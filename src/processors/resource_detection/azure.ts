import { askForJson, textOf } from './ask.ts'
import { cloudAttributes, defineDetector } from './detector.ts'

/** Source: Azure documentation, "Azure Instance Metadata Service", the category `compute`. */
export const azure = defineDetector({
  doc: "Azure's instance metadata service",
  attributes: {
    ...cloudAttributes,
    'azure.vm.name': { doc: 'Name of the machine in its resource group.', enabled: true },
    'azure.vm.size': { doc: 'The type of the machine.', enabled: true },
    'azure.vm.scaleset.name': { doc: 'The scale set of the machine.', enabled: true },
    'azure.resource_group.name': { doc: 'The resource group.', enabled: true },
  },
  settings: {
    endpoint: { doc: 'The address of the metadata service.', format: 'url', default: 'http://169.254.169.254' },
  },
  async detect({ endpoint }, { signal }) {
    const url = `${endpoint.replace(/\/+$/, '')}/metadata/instance/compute?api-version=2021-02-01&format=json`
    const machine = await askForJson(url, { headers: { metadata: 'true' }, signal })
    const { computerName } = (machine.osProfile ?? {}) as { computerName?: unknown }
    return {
      'cloud.provider': 'azure',
      'cloud.platform': 'azure.vm',
      'cloud.account.id': textOf(machine.subscriptionId),
      'cloud.region': textOf(machine.location),
      'cloud.availability_zone': textOf(machine.zone),
      'host.id': textOf(machine.vmId),
      'host.name': textOf(computerName) ?? textOf(machine.name),
      'azure.vm.name': textOf(machine.name),
      'azure.vm.size': textOf(machine.vmSize),
      'azure.vm.scaleset.name': textOf(machine.vmScaleSetName),
      'azure.resource_group.name': textOf(machine.resourceGroupName),
    }
  },
})
