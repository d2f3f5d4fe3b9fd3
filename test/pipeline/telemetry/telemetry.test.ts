import { describe, expect, it } from '@jest/globals'
import { ExporterSheet, PipelineSheet, Telemetry } from '../../../src/pipeline/telemetry/telemetry.ts'

describe('the balance sheet', () => {
  it('reads as its equation, without the terms that are zero', () => {
    const pipeline = new PipelineSheet()
    pipeline.accepted = 10
    pipeline.handedOn = 6
    pipeline.filtered = 3
    pipeline.lost('processor_error', 1)
    expect(pipeline.equation()).toBe('accepted 10 = handed on 6 + filtered 3 + dropped(processor_error) 1')
    const exporter = new ExporterSheet()
    exporter.handedIn = 5
    exporter.sent = 2
    exporter.inFlight = 3
    expect(exporter.equation()).toBe('handed in 5 = sent 2 + in flight 3')
    exporter.restored = 4
    exporter.kept = 4
    expect(exporter.equation()).toBe('handed in 5 + restored 4 = sent 2 + kept 4 + in flight 3')
    expect(new ExporterSheet().equation()).toBe('handed in 0 = sent 0')
  })

  it('knows whether all was sent, first values aside', () => {
    const telemetry = new Telemetry()
    const sheet = telemetry.exporter('debug')
    expect(telemetry.allSent).toBe(false)
    sheet.sent = 5
    sheet.dropped('first_value', 2)
    expect(telemetry.allSent).toBe(true)
    telemetry.pipeline('metrics').held = 4
    telemetry.pipeline('metrics/idle')
    expect(telemetry.abandonHeld()).toEqual(new Map([['metrics', { what: 'Data points', items: 4 }]]))
    expect(telemetry.balance().pipelines.metrics).toMatchObject({ held: 0, dropped: { shutdown: 4 } })
    expect(telemetry.allSent).toBe(false)
  })

  it('does not take what is left on disk for sent', () => {
    const telemetry = new Telemetry()
    const sheet = telemetry.exporter('debug')
    sheet.sent = 1
    sheet.kept = 1
    expect(telemetry.allSent).toBe(false)
  })

  it('tells faults from what was left out by a rule', () => {
    const sheet = new ExporterSheet()
    sheet.dropped('not_finite', 2)
    expect(sheet.faults).toBe(0)
    sheet.lost('queue_full', 3)
    expect(sheet.faults).toBe(3)
    expect(sheet.balance().dropped).toEqual({ not_finite: 2, queue_full: 3 })
  })

  it('adds up the counters of each component, and shows them once it has started', () => {
    const telemetry = new Telemetry()
    const meter = telemetry.meter({ kind: 'receiver', type: 'host_metrics' }, 'host_metrics')
    const counter = meter.createCounter('scraper_errors', { description: 'Failed scrapes.' })
    counter.add(1, { scraper: 'cpu' })
    expect(telemetry.counters()).toEqual({})
    meter.begin()
    counter.add(2, { scraper: 'cpu' })
    expect(telemetry.counters()).toEqual({ 'scraper_errors{component="host_metrics",scraper="cpu"}': 3 })
  })
})
