import { askFor, askForJson, textOf } from './ask.ts'
import { cloudAttributes, defineDetector } from './detector.ts'

/** Source: Amazon EC2 User Guide, "Use the Instance Metadata Service" (IMDSv2) and "Instance identity documents". */
export const ec2 = defineDetector({
  doc: "Amazon EC2's instance metadata service, version 2; in a container it answers only where the hop limit is at least 2",
  attributes: {
    ...cloudAttributes,
    'host.image.id': { doc: 'The image that the machine was started from.', enabled: true },
    'host.type': { doc: 'The type of the machine.', enabled: true },
  },
  settings: {
    endpoint: {
      doc: 'The address of the metadata service.',
      format: 'url',
      default: 'http://169.254.169.254',
      env: ['AWS_EC2_METADATA_SERVICE_ENDPOINT'],
    },
  },
  async detect({ endpoint }, { signal, wanted }) {
    const base = endpoint.replace(/\/+$/, '')
    const token = await askFor(`${base}/latest/api/token`, {
      method: 'PUT',
      headers: { 'x-aws-ec2-metadata-token-ttl-seconds': '60' },
      signal,
    })
    const question = { headers: { 'x-aws-ec2-metadata-token': token }, signal }
    const [machine, name] = await Promise.all([
      askForJson(`${base}/latest/dynamic/instance-identity/document`, question),
      wanted.includes('host.name') ? askFor(`${base}/latest/meta-data/hostname`, question) : undefined,
    ])
    return {
      'cloud.provider': 'aws',
      'cloud.platform': 'aws_ec2',
      'cloud.account.id': textOf(machine.accountId),
      'cloud.region': textOf(machine.region),
      'cloud.availability_zone': textOf(machine.availabilityZone),
      'host.id': textOf(machine.instanceId),
      'host.image.id': textOf(machine.imageId),
      'host.type': textOf(machine.instanceType),
      'host.name': name?.trim(),
    }
  },
})
