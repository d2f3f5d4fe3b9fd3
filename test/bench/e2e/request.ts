import protobuf from 'protobufjs/minimal.js'
import type { Reader } from 'protobufjs/minimal.js'
import { ExportMetricsServiceRequest } from '../../kit/otlp_proto.ts'

/** How many resources a request has, metrics a resource, and points a metric. */
export interface RequestShape {
  readonly resources: number
  readonly metrics: number
  readonly points: number
}

/** Builds a protobuf `ExportMetricsServiceRequest` of sums; a point has five attributes. */
export function buildRequest({ resources, metrics, points }: RequestShape): Buffer {
  const keyValue = (key: string, value: string): object => ({ key, value: { stringValue: value } })
  const many = (count: number, make: (index: number) => object): object[] =>
    Array.from({ length: count }, (_, i) => make(i))
  const request = {
    resourceMetrics: many(resources, (resource) => ({
      resource: {
        attributes: [
          keyValue('host.name', `h${resource}`),
          keyValue('service.name', 'svc'),
          keyValue('os.type', 'linux'),
        ],
      },
      scopeMetrics: [
        {
          scope: { name: 'bench', version: '1' },
          metrics: many(metrics, (metric) => ({
            name: `system.metric.name.${metric}`,
            description: 'some description of metric',
            unit: 'By',
            sum: {
              aggregationTemporality: 2,
              isMonotonic: true,
              dataPoints: many(points, (point) => ({
                attributes: [
                  keyValue('cpu', `cpu${point}`),
                  keyValue('state', 'user'),
                  keyValue('device', `eth${point}`),
                  keyValue('http.route', `/api/v1/users/${point}`),
                  keyValue('region', 'us-east-1'),
                ],
                startTimeUnixNano: '1700000000000000000',
                timeUnixNano: '1700000010000000000',
                asDouble: point * 1.5 + metric,
              })),
            },
          })),
        },
      ],
    })),
  }
  return Buffer.from(ExportMetricsServiceRequest.encode(ExportMetricsServiceRequest.fromObject(request)).finish())
}

/**
 * Counts the points of a request of sums without decoding them, and finds where the eight bytes of `time_unix_nano` of the
 * first point of each resource are. The generator writes there when a request was due, and the sink reads it.
 */
export function scanRequest(bytes: Uint8Array): { points: number; stamps: number[] } {
  const reader = protobuf.Reader.create(bytes)
  const stamps: number[] = []
  let points = 0
  // ExportMetricsServiceRequest.resource_metrics, scope_metrics, metrics, sum, data_points
  eachMessage(reader, bytes.length, 1, (resourceEnd) => {
    const first = points
    eachMessage(reader, resourceEnd, 2, (scopeEnd) =>
      eachMessage(reader, scopeEnd, 2, (metricEnd) =>
        eachMessage(reader, metricEnd, 7, (sumEnd) =>
          eachMessage(reader, sumEnd, 1, (pointEnd) => {
            if (points++ === first) stamps.push(findTime(reader, pointEnd))
            reader.pos = pointEnd
          }),
        ),
      ),
    )
  })
  return { points, stamps }
}

/** Calls `visit` at the beginning of each message in `field` up to `end`, with the message's own end. */
function eachMessage(reader: Reader, end: number, field: number, visit: (end: number) => void): void {
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag === ((field << 3) | 2)) visit(reader.uint32() + reader.pos)
    else reader.skipType(tag & 7)
  }
}

/** Where `fixed64 time_unix_nano = 3` of a point is. */
function findTime(reader: Reader, end: number): number {
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag === ((3 << 3) | 1)) return reader.pos
    reader.skipType(tag & 7)
  }
  throw new Error('A point has no time.')
}
