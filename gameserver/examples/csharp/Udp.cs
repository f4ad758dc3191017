// A game server over UDP.
//   mcs -out:udp.exe Udp.cs Game.cs Gate.cs && PORT=7654 mono udp.exe
using System;
using System.Net;
using System.Net.Sockets;
using System.Text;

// A player's address. UDP has no connections: what is lost, the player asks for again.
sealed class Address : IConnection {
    readonly Socket listener;
    readonly EndPoint peer;

    public Address(Socket listener, EndPoint peer) {
        this.listener = listener;
        this.peer = peer;
    }
    public string Id { get { return peer.ToString(); } }
    public void Send(string text) {
        try {
            listener.SendTo(Encoding.UTF8.GetBytes(text), peer);
        } catch (SocketException) {
        }
    }
    public void Close() { }
}

static class Program {
    static int Main() {
        var listener = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        listener.Bind(new IPEndPoint(IPAddress.Any, int.Parse(Environment.GetEnvironmentVariable("PORT") ?? "7654")));
        if (Gate.Call("POST", Gate.Sdk + "/ready", "{}").Status != 200) {
            Console.Error.WriteLine("the Agones SDK does not take Ready");
            return 1;
        }
        var game = new Game();
        var data = new byte[1401];
        while (true) {
            EndPoint peer = new IPEndPoint(IPAddress.Any, 0);
            int n;
            try {
                n = listener.ReceiveFrom(data, ref peer);
            } catch (SocketException) {  // Windows tells so of datagrams that did not arrive, or are too long
                continue;
            }
            var from = new Address(listener, peer);
            if (n > 1400) from.Send("REFUSED {\"reason\":\"too_large\"}");
            else game.Message(from, Encoding.UTF8.GetString(data, 0, n));
        }
    }
}
