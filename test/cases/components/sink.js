/** An exporter with a key, as those of vendors have it. */
export default {
  kind: 'exporter',
  type: 'test_sink',
  summary: 'Sends nothing.',
  timeout: '7s',
  config: {
    site: { doc: 'The site.', format: ['us', 'eu', 'asia'], default: 'us', env: ['SINK_SITE', 'SINK_REGION'] },
    api_key: { doc: 'The key.', format: 'string', default: null, env: ['SINK_KEY'], secret: true },
    hostname: { doc: 'The host.', format: 'hostname', default: undefined },
    endpoint: { doc: 'The address.', format: 'url', default: undefined },
    headers: { doc: 'Headers.', format: { map: 'string' }, default: {}, secret: true },
  },
  create: () => ({ encode: () => [], async send() {} }),
}
