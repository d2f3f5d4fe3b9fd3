import protobuf from 'protobufjs/minimal.js'
import type { Reader } from 'protobufjs/minimal.js'
import { ExportLogsServiceRequest, ExportMetricsServiceRequest } from '../../kit/otlp_proto.ts'

/** What a request holds. */
export type RequestShape = MetricsShape | LogsShape

/** How many resources a request has, metrics a resource, and points a metric. */
export interface MetricsShape {
  readonly resources: number
  readonly metrics: number
  readonly points: number
}

/** How many resources a request has, and log records a resource. */
export interface LogsShape {
  readonly resources: number
  readonly records: number
}

export type Signal = 'metrics' | 'logs'

export function signalOf(shape: RequestShape): Signal {
  return 'records' in shape ? 'logs' : 'metrics'
}

/** Builds a protobuf request. */
export function buildRequest(shape: RequestShape): Buffer {
  return 'records' in shape ? buildLogs(shape) : buildMetrics(shape)
}

const keyValue = (key: string, value: string): object => ({ key, value: { stringValue: value } })
const many = (count: number, make: (index: number) => object): object[] =>
  Array.from({ length: count }, (_, i) => make(i))

/** Log records of some 300 bytes with five attributes each. */
function buildLogs({ resources, records }: LogsShape): Buffer {
  const request = {
    resourceLogs: many(resources, (resource) => ({
      resource: {
        attributes: [
          keyValue('host.name', `h${resource}`),
          keyValue('service.name', 'svc'),
          keyValue('os.type', 'linux'),
        ],
      },
      scopeLogs: [
        {
          scope: { name: 'bench', version: '1' },
          logRecords: many(records, (record) => ({
            timeUnixNano: '1700000010000000000',
            observedTimeUnixNano: '1700000010000000000',
            severityNumber: 9,
            severityText: 'INFO',
            body: {
              stringValue: `GET /api/v1/users/${record} answered 200 in 12 ms for 192.0.2.${record % 250}`.padEnd(
                90,
                '.',
              ),
            },
            attributes: [
              keyValue('http.route', `/api/v1/users/${record}`),
              keyValue('http.request.method', 'GET'),
              keyValue('user_agent', 'bench/1.0'),
              keyValue('thread', `worker-${record % 16}`),
              keyValue('region', 'us-east-1'),
            ],
            traceId: Buffer.alloc(16, record + 1),
            spanId: Buffer.alloc(8, record + 1),
          })),
        },
      ],
    })),
  }
  return Buffer.from(ExportLogsServiceRequest.encode(ExportLogsServiceRequest.fromObject(request)).finish())
}

/** Sums; a point has five attributes. */
function buildMetrics({ resources, metrics, points }: MetricsShape): Buffer {
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
 * Counts the points of a request of sums, or log records, without decoding them, and finds where the eight bytes of `time_unix_nano` of
 * the first one of each resource are. The generator writes there when a request was due, and the sink reads it.
 */
export function scanRequest(bytes: Uint8Array, signal: Signal): { points: number; stamps: number[] } {
  const reader = protobuf.Reader.create(bytes)
  const stamps: number[] = []
  let points = 0
  // ExportMetricsServiceRequest.resource_metrics, scope_metrics, metrics, sum, data_points; the same of logs, to log_records
  eachMessage(reader, bytes.length, 1, (resourceEnd) => {
    const first = points
    const count = (end: number, timeField: number): void => {
      if (points++ === first) stamps.push(findTime(reader, end, timeField))
      reader.pos = end
    }
    eachMessage(reader, resourceEnd, 2, (scopeEnd) =>
      eachMessage(reader, scopeEnd, 2, (itemEnd) => {
        if (signal === 'logs') count(itemEnd, 1)
        else
          eachMessage(reader, itemEnd, 7, (sumEnd) => eachMessage(reader, sumEnd, 1, (pointEnd) => count(pointEnd, 3)))
      }),
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

/** Where `fixed64 time_unix_nano` of a point or record is. */
function findTime(reader: Reader, end: number, field: number): number {
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag === ((field << 3) | 1)) return reader.pos
    reader.skipType(tag & 7)
  }
  throw new Error('A point or record has no time.')
}
