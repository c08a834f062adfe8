// One WebSocket: OSC addresses go out, heads, frames and complaints come in.

let socket = null;

export function send(address, ...values) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ send: [`/wavevae/${address}`, values] }));
}

/** Calls back for everything that comes; connects again when the connection is lost. */
export function connect({ onHead, onFrame, onError, onLost }) {
  socket = new WebSocket(`ws://${location.host}/ws`);
  socket.onmessage = ({ data }) => {
    const news = JSON.parse(data);
    if (news.error) onError(news.error);
    else if (news.about) onHead(news);
    else onFrame(news);
  };
  socket.onclose = () => {
    onLost();
    setTimeout(() => connect({ onHead, onFrame, onError, onLost }), 1000);
  };
}
