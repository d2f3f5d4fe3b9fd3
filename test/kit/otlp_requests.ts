import fc from 'fast-check'

/* Arbitrary OTLP requests, as objects that protobufjs's `fromObject` takes. */

const nanoseconds = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String)
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String)
const count = fc.oneof(fc.nat().map(String), nanoseconds)
const double = fc.double({ noNaN: true })
const bytes = fc.uint8Array({ maxLength: 16 }).map((array) => Buffer.from(array).toString('base64'))

const { anyValue } = fc.letrec<{ anyValue: object; keyValue: object }>((tie) => ({
  anyValue: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({ stringValue: fc.string() }),
    fc.record({ boolValue: fc.boolean() }),
    fc.record({ intValue: int64 }),
    fc.record({ doubleValue: double }),
    fc.record({ bytesValue: bytes }),
    fc.constant({}),
    fc.record({ arrayValue: fc.record({ values: fc.array(tie('anyValue'), { maxLength: 3 }) }) }),
    fc.record({ kvlistValue: fc.record({ values: fc.array(tie('keyValue'), { maxLength: 3 }) }) }),
  ),
  keyValue: fc.record({ key: fc.string(), value: tie('anyValue') }),
}))
const attributes = fc.array(fc.record({ key: fc.string(), value: anyValue }), { maxLength: 3 })
const optional = { requiredKeys: [] }
const scope = fc.record({ name: fc.string(), version: fc.string(), attributes, droppedAttributesCount: fc.nat() })
const entityRefs = fc.array(
  fc.record(
    {
      schemaUrl: fc.string(),
      type: fc.string(),
      idKeys: fc.array(fc.string(), { maxLength: 2 }),
      descriptionKeys: fc.array(fc.string(), { maxLength: 2 }),
    },
    optional,
  ),
  { maxLength: 2 },
)
const resource = fc.record(
  { attributes, droppedAttributesCount: fc.nat(), entityRefs },
  { requiredKeys: ['attributes', 'droppedAttributesCount'] },
)

/** A request of resources that hold scopes, which hold `items`, under the names that a signal gives them. */
function requestOf<Resources extends string, Scopes extends string, Items extends string>(
  [resources, scopes, members]: readonly [Resources, Scopes, Items],
  items: fc.Arbitrary<readonly object[]>,
): fc.Arbitrary<Record<Resources, readonly object[]>> {
  const inScope = fc.record({ scope, [members]: items, schemaUrl: fc.string() }, { requiredKeys: ['scope', members] })
  const inResource = fc.record(
    { resource, [scopes]: fc.array(inScope, { maxLength: 2 }), schemaUrl: fc.string() },
    { requiredKeys: ['resource', scopes] },
  )
  return fc.record({ [resources]: fc.array(inResource, { maxLength: 2 }) })
}
const number = fc.oneof(fc.record({ asDouble: double }), fc.record({ asInt: int64 }))
const exemplars = fc.array(
  fc
    .tuple(
      number,
      fc.record({ filteredAttributes: attributes, timeUnixNano: nanoseconds, spanId: bytes, traceId: bytes }),
    )
    .map(([value, fields]) => ({ ...fields, ...value })),
  { maxLength: 2 },
)
const point = { attributes, startTimeUnixNano: nanoseconds, timeUnixNano: nanoseconds, flags: fc.nat(3) }
const buckets = fc.record({ offset: fc.integer(), bucketCounts: fc.array(count, { maxLength: 4 }) })
const numberPoints = fc.array(
  fc
    .tuple(fc.oneof(number, fc.constant({})), fc.record({ ...point, exemplars }, optional))
    .map(([value, fields]) => ({ ...fields, ...value })),
  { maxLength: 3 },
)
const histogramPoints = fc.array(
  fc.record(
    {
      ...point,
      exemplars,
      count,
      sum: double,
      min: double,
      max: double,
      bucketCounts: fc.array(count, { maxLength: 4 }),
      explicitBounds: fc.array(double, { maxLength: 4 }),
    },
    optional,
  ),
  { maxLength: 2 },
)
const exponentialPoints = fc.array(
  fc.record(
    {
      ...point,
      exemplars,
      count,
      sum: double,
      min: double,
      max: double,
      scale: fc.integer({ min: -10, max: 20 }),
      zeroCount: count,
      zeroThreshold: double,
      positive: buckets,
      negative: buckets,
    },
    optional,
  ),
  { maxLength: 2 },
)
const summaryPoints = fc.array(
  fc.record(
    {
      ...point,
      count,
      sum: double,
      quantileValues: fc.array(fc.record({ quantile: double, value: double }), { maxLength: 3 }),
    },
    optional,
  ),
  { maxLength: 2 },
)
const temporality = fc.constantFrom(0, 1, 2)
const data = fc.oneof(
  fc.record({ gauge: fc.record({ dataPoints: numberPoints }) }),
  fc.record({
    sum: fc.record({ dataPoints: numberPoints, aggregationTemporality: temporality, isMonotonic: fc.boolean() }),
  }),
  fc.record({ histogram: fc.record({ dataPoints: histogramPoints, aggregationTemporality: temporality }) }),
  fc.record({
    exponentialHistogram: fc.record({ dataPoints: exponentialPoints, aggregationTemporality: temporality }),
  }),
  fc.record({ summary: fc.record({ dataPoints: summaryPoints }) }),
  fc.constant({}),
)
export const metric = fc
  .tuple(
    data,
    fc.record({ name: fc.string(), description: fc.string(), unit: fc.string(), metadata: attributes }, optional),
  )
  .map(([kind, fields]) => ({ ...fields, ...kind }))
export const request = requestOf(['resourceMetrics', 'scopeMetrics', 'metrics'], fc.array(metric, { maxLength: 3 }))

const uint32 = fc.nat(2 ** 32 - 1)
export const logRecord = fc.record(
  {
    timeUnixNano: nanoseconds,
    observedTimeUnixNano: nanoseconds,
    severityNumber: fc.nat(24),
    severityText: fc.string(),
    body: anyValue,
    attributes,
    droppedAttributesCount: uint32,
    flags: uint32,
    traceId: bytes,
    spanId: bytes,
    eventName: fc.string(),
  },
  optional,
)
export const logsRequest = requestOf(['resourceLogs', 'scopeLogs', 'logRecords'], fc.array(logRecord, { maxLength: 4 }))

const named = { timeUnixNano: nanoseconds, name: fc.string(), attributes, droppedAttributesCount: uint32 }
const context = { traceId: bytes, spanId: bytes, traceState: fc.string(), flags: uint32 }
export const span = fc.record(
  {
    ...context,
    parentSpanId: bytes,
    name: fc.string(),
    kind: fc.nat(5),
    startTimeUnixNano: nanoseconds,
    endTimeUnixNano: nanoseconds,
    attributes,
    droppedAttributesCount: uint32,
    events: fc.array(fc.record(named, optional), { maxLength: 2 }),
    droppedEventsCount: uint32,
    links: fc.array(fc.record({ ...context, attributes, droppedAttributesCount: uint32 }, optional), { maxLength: 2 }),
    droppedLinksCount: uint32,
    status: fc.record({ message: fc.string(), code: fc.nat(2) }, optional),
  },
  optional,
)
export const traceRequest = requestOf(['resourceSpans', 'scopeSpans', 'spans'], fc.array(span, { maxLength: 3 }))
