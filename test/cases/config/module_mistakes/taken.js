export default { kind: 'receiver', type: 'hostmetrics', summary: 'Takes a name.', config: {}, async *create() {} }
