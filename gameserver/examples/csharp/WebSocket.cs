// A game server over WebSocket (RFC 6455), text messages in one frame each.
//   mcs -out:websocket.exe WebSocket.cs Game.cs Gate.cs && PORT=7654 mono websocket.exe
using System;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Threading;

sealed class Connection : IConnection {
    const int MaxMessage = 16384, MaxHead = 8192;
    readonly TcpClient client;
    readonly Stream stream;
    readonly object writing = new object();

    public Connection(TcpClient client) {
        this.client = client;
        client.NoDelay = true;
        stream = client.GetStream();
        stream.ReadTimeout = Game.IdleSeconds * 1000;
        stream.WriteTimeout = 200;  // who does not read must not hold everybody else up, and is dropped
        Id = Guid.NewGuid().ToString();
    }

    public string Id { get; private set; }
    public void Send(string text) { Frame(1, Encoding.UTF8.GetBytes(text)); }
    public void Close() {
        Frame(8, new byte[] { 3, 232 });
        client.Close();
    }

    public void Serve(Game game) {
        try {
            if (Handshake())
                for (string text = Receive(); text != null; text = Receive()) game.Message(this, text);
        } catch (Exception e) when (e is IOException || e is ObjectDisposedException || e is InvalidOperationException) {
        }
        game.Gone(Id);
        client.Close();
    }

    bool Handshake() {
        var head = new StringBuilder();
        while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal)) {
            if (head.Length > MaxHead) return false;
            head.Append((char)Take(1)[0]);
        }
        string key = null;
        bool upgrade = false;
        foreach (string line in head.ToString().Split(new[] { "\r\n" }, StringSplitOptions.RemoveEmptyEntries)) {
            int colon = line.IndexOf(':');
            if (colon < 0) continue;
            string name = line.Substring(0, colon).Trim().ToLowerInvariant(), value = line.Substring(colon + 1).Trim();
            if (name == "sec-websocket-key") key = value;
            if (name == "upgrade") upgrade = value.ToLowerInvariant() == "websocket";
        }
        if (key == null || !upgrade) {
            Write(Encoding.ASCII.GetBytes("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n"));
            return false;
        }
        string accept;
        using (var sha1 = SHA1.Create())
            accept = Convert.ToBase64String(sha1.ComputeHash(Encoding.ASCII.GetBytes(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
        Write(Encoding.ASCII.GetBytes("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + "\r\n\r\n"));
        return true;
    }

    // Returns the next message; null: the connection is over.
    string Receive() {
        while (true) {
            byte[] head = Take(2);
            int kind = head[0] & 15, length = head[1] & 127;
            if (length == 126) {
                byte[] more = Take(2);
                length = more[0] << 8 | more[1];
            }
            bool whole = (head[0] & 128) != 0, masked = (head[1] & 128) != 0;
            if (length == 127 || length > MaxMessage || !whole || !masked) return null;
            byte[] mask = Take(4), data = Take(length);
            for (int i = 0; i < length; i++) data[i] ^= mask[i % 4];
            if (kind == 8) return null;
            if (kind == 9) Frame(10, data);
            if (kind == 1) return Encoding.UTF8.GetString(data);
        }
    }

    byte[] Take(int n) {
        var data = new byte[n];
        for (int done = 0; done < n;) {
            int got = stream.Read(data, done, n - done);
            if (got <= 0) throw new IOException("closed");
            done += got;
        }
        return data;
    }

    void Frame(int kind, byte[] data) {
        var frame = new MemoryStream();
        frame.WriteByte((byte)(128 | kind));
        if (data.Length < 126) {
            frame.WriteByte((byte)data.Length);
        } else {
            frame.WriteByte(126);
            frame.WriteByte((byte)(data.Length >> 8));
            frame.WriteByte((byte)data.Length);
        }
        frame.Write(data, 0, data.Length);
        Write(frame.ToArray());
    }

    void Write(byte[] data) {
        try {
            lock (writing) stream.Write(data, 0, data.Length);
        } catch (Exception e) when (e is IOException || e is ObjectDisposedException) {
            client.Close();  // Receive sees it
        }
    }
}

static class Program {
    static int Main() {
        var listener = new TcpListener(IPAddress.Any, int.Parse(Environment.GetEnvironmentVariable("PORT") ?? "7654"));
        listener.Start();
        if (Gate.Call("POST", Gate.Sdk + "/ready", "{}").Status != 200) {
            Console.Error.WriteLine("the Agones SDK does not take Ready");
            return 1;
        }
        var game = new Game();
        while (true) {
            try {
                var connection = new Connection(listener.AcceptTcpClient());
                new Thread(() => connection.Serve(game)) { IsBackground = true }.Start();
            } catch (Exception e) when (e is SocketException || e is InvalidOperationException) {
                Thread.Sleep(100);  // too many are open, or this one is closed already
            }
        }
    }
}
