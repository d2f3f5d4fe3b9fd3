export default { kind: 'receiver', type: 'extra', summary: 'From a file.', config: {}, async *create() {} }
