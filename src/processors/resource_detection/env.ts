import { defineDetector } from './detector.ts'

/** Source: OpenTelemetry specification, Resource SDK, "Specifying resource information via an environment variable". */
export const env = defineDetector({
  doc: 'the values of `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`',
  attributes: {},
  settings: {
    resource_attributes: {
      doc: 'Attributes as `key=value`, separated by commas; a comma or `=` within a value is percent-encoded.',
      format: 'string',
      default: undefined,
      env: ['OTEL_RESOURCE_ATTRIBUTES'],
    },
    service_name: {
      doc: 'The attribute `service.name`; it takes precedence over the one in `resource_attributes`.',
      format: 'string',
      default: undefined,
      env: ['OTEL_SERVICE_NAME'],
    },
  },
  async detect({ resource_attributes = '', service_name }, { fail }) {
    const found: Record<string, string | undefined> = {}
    try {
      Object.assign(found, parseAttributes(resource_attributes))
    } catch (error) {
      fail('The resource attributes in the environment are invalid and are ignored.', error)
    }
    return { ...found, ...(service_name && { 'service.name': service_name }) }
  },
})

/** @throws if a part is not `key=value`: the specification says that the whole value is ignored then */
function parseAttributes(text: string): Record<string, string> {
  const parts = text.split(',').filter((part) => part.trim() !== '')
  return Object.fromEntries(
    parts.map((part) => {
      const [, key = '', value = ''] = /^\s*([^=\s]+)\s*=\s*(.*?)\s*$/.exec(part) ?? []
      if (key === '') throw new Error(`must be key=value,key=value, not "${part.trim()}"`)
      return [decodeURIComponent(key), decodeURIComponent(value)]
    }),
  )
}
