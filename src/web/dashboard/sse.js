// Reads server-sent events from the body of an answer. EventSource cannot send the token.

// Calls `onMessage({id, kind, data})` for each message until the stream ends.
export async function readMessages(body, onMessage, signal) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const cancel = () => reader.cancel().catch(() => {});
  signal?.addEventListener('abort', cancel, { once: true });
  let rest = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done || signal?.aborted) return;
      const blocks = (rest + value).split('\n\n');
      rest = blocks.pop();
      for (const block of blocks) {
        const message = parse(block);
        if (message) onMessage(message);
      }
    }
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}

function parse(block) {
  const message = { id: null, kind: 'message', data: null };
  for (const line of block.split('\n')) {
    if (line.startsWith('id: ')) message.id = line.slice(4);
    else if (line.startsWith('event: ')) message.kind = line.slice(7);
    else if (line.startsWith('data: ')) message.data = JSON.parse(line.slice(6));
  }
  return message.data === null ? null : message;
}
