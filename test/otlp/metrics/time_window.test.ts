import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { TimeWindow } from '../../../src/otlp/common/time_window.ts'
import { placesOf } from '../../../src/otlp/metrics/time_window.ts'
import { ExportMetricsServiceRequest } from '../../kit/otlp_proto.ts'
import { runs } from '../../kit/fuzzing.ts'
import { request as anyRequest } from '../../kit/otlp_requests.ts'

describe('a time window', () => {
  it('finds in the bytes of a metric where its points lie as their objects say', () => {
    fc.assert(
      fc.property(
        anyRequest,
        fc.array(fc.bigInt(0n, 2n ** 64n - 1n), { minLength: 1, maxLength: 5 }),
        (request, random) => {
          const batch = MetricBatch.fromOtlp(
            ExportMetricsServiceRequest.encode(ExportMetricsServiceRequest.fromObject(request)).finish(),
          )
          const points = [...batch.metrics()].map(({ metric }) => metric.points.map(({ timeUnixNano }) => timeUnixNano))
          // Its own times too: the ends of a window belong to it.
          const times = [...random, ...points.flat()].sort((a, b) => (a < b ? -1 : 1))
          const window = new TimeWindow(times[times.length >> 2], times[(times.length * 3) >> 2])
          const asBytes = [...MetricBatch.fromOtlp(batch.toOtlp()).metrics()].map(({ metric }) =>
            placesOf(metric, window),
          )
          expect(asBytes).toEqual(points.map((times) => times.reduce((found, time) => found | window.place(time), 0)))
        },
      ),
      runs(100),
    )
  })
})
