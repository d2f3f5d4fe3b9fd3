import type { v1, v2 } from '@datadog/datadog-api-client'

/*
 * Datadog's own client as the judge of what we send: it knows every field of its API, which are required, and their types.
 * Both throw when the body is not what the API takes.
 */

// Node itself loads the thousands of files of the client; through the module loader of jest it takes ten times as long.
const require = process.getBuiltinModule('node:module').createRequire(import.meta.url)

interface Serializer {
  deserialize(data: unknown, type: string): unknown
}

function serializerOf(version: 'v1' | 'v2'): Serializer {
  const models = `@datadog/datadog-api-client/dist/packages/datadog-api-client-${version}/models/ObjectSerializer.js`
  return (require(models) as { ObjectSerializer: Serializer }).ObjectSerializer
}

/** Reads the parsed JSON of `POST /api/v1/series`. */
export function readV1(body: unknown): v1.MetricsPayload {
  return accepted(serializerOf('v1').deserialize(body, 'MetricsPayload') as v1.MetricsPayload)
}

/** Reads the decoded protobuf of `POST /api/v2/series`, whose fields are named as in the JSON of the same API. */
export function readV2(body: unknown): v2.MetricPayload {
  return accepted(serializerOf('v2').deserialize(body, 'MetricPayload') as v2.MetricPayload)
}

function accepted<T extends v1.MetricsPayload | v2.MetricPayload>(payload: T): T {
  for (const series of [payload, ...payload.series]) {
    const { _unparsed: unparsed, additionalProperties: additional } = series as {
      _unparsed?: boolean
      additionalProperties?: object
    }
    if (unparsed === true) throw new Error(`a value that Datadog does not know: ${JSON.stringify(series)}`)
    if (additional !== undefined) throw new Error(`fields that Datadog does not know: ${JSON.stringify(additional)}`)
  }
  return payload
}
