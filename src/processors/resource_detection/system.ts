import { hostFiles } from '../../host/files.ts'
import { readInventory, resourceAttributes } from '../../host/inventory.ts'
import { defineDetector } from './detector.ts'

export const system = defineDetector({
  doc: 'what the operating system reports about the host',
  attributes: resourceAttributes,
  settings: {
    root_path: {
      doc: "In a container, the folder where the host's file system is mounted; unset on the host itself. Only on Linux.",
      format: 'path',
      default: undefined,
    },
  },
  async detect({ root_path }, { wanted, fail }) {
    const root = hostFiles(root_path?.replace(/\/+$/, ''))
    const information = async () => (await import('systeminformation')).default
    return readInventory(wanted, { root, platform: process.platform, information }, fail)
  },
})
